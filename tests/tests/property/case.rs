//! One case: a random stack, with commands and foreign acts in turn. It fails if a command changes a foreign resource.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use terrace_tests::Run;
use terrace_tests::inventory::Inventory;
use terrace_tests::random::Random;

use crate::foreign::{self, Act, Scene};
use crate::stack::{Environment, Stack};
use crate::world::{Servers, World};

/// A foreign resource with one of our names.
#[derive(Debug)]
struct Taken {
    environment: &'static str,
    address: String,
    /// The identities that were created with it.
    identities: BTreeSet<String>,
    /// Whether the user adopted it, so that Terrace may change it.
    adopted: bool,
}

/// A running case.
pub(crate) struct Case<'a> {
    world: World<'a>,
    stack: Stack,
    random: Random,
    /// The identities of the resources that each environment's commands created.
    owned: BTreeMap<&'static str, BTreeSet<String>>,
    taken: Vec<Taken>,
    /// The environments that this directory has deployed, according to their state store.
    claimed: BTreeSet<&'static str>,
    /// The current inventory.
    now: Inventory,
    story: Vec<String>,
    /// The number of times that each command ended with each exit code.
    pub(crate) codes: BTreeMap<String, usize>,
}

/// The exit codes of a case, or the problem and the steps before it.
pub(crate) type Outcome = Result<BTreeMap<String, usize>, String>;

/// Runs the case of a seed.
pub(crate) fn run(servers: &Servers, seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    let id = format!("w{seed}z");
    let stack = Stack::random(&id, &mut random);
    let world = World::new(servers, &id, &stack.environments[0]);
    let mut case = Case {
        now: Inventory::new(),
        owned: BTreeMap::new(),
        taken: Vec::new(),
        claimed: BTreeSet::new(),
        story: vec![format!("{:?}", stack.environments)],
        codes: BTreeMap::new(),
        world,
        stack,
        random,
    };
    let ended = case.steps();
    ended.map_err(|problem| {
        format!(
            "seed {seed}: {problem}\nto repeat the case: TERRACE_CASE={seed} cargo test -p terrace-tests --test property\n  {}",
            case.story.join("\n  ")
        )
    })?;
    Ok(case.codes)
}

impl Case<'_> {
    fn steps(&mut self) -> Result<(), String> {
        self.stack.write(&self.world.directory, self.world.account.id());
        self.now = self.world.inventory();
        if self.random.percent(30) {
            self.stranger();
        }
        for environment in self.stack.environments.clone() {
            if environment.account && !self.random.percent(4) {
                self.command(&environment, &["bootstrap", "-e", environment.name])?;
            }
        }
        for _ in 0..3 + self.random.below(6) {
            for _ in 0..self.random.below(3) {
                self.stranger();
            }
            if self.random.percent(60) {
                let edit = self.stack.edit(&mut self.random);
                self.story.push(edit);
                self.stack.write(&self.world.directory, self.world.account.id());
                self.now = self.world.edited(std::mem::take(&mut self.now));
            }
            self.turn()?;
        }
        self.clean_up();
        Ok(())
    }

    /// Runs a random foreign act.
    fn stranger(&mut self) {
        let environments = self.stack.environments.clone();
        let environment = self.random.of(&environments);
        let nothing = BTreeSet::new();
        let ours = self.owned.get(environment.name).unwrap_or(&nothing);
        let mut scene = Scene {
            world: &self.world,
            stack: &self.stack,
            environment,
            ours,
            random: &mut self.random,
        };
        let act = foreign::act(&mut scene);
        let after = self.world.inventory();
        if let Some(act) = act {
            self.happened(act, &after);
        }
        self.now = after;
    }

    fn happened(&mut self, act: Act, after: &Inventory) {
        for owned in self.owned.values_mut() {
            owned.retain(|key| after.contains_key(key));
        }
        if let Some((environment, address)) = act.takes {
            let identities = after.keys().filter(|key| !self.now.contains_key(*key)).cloned();
            self.taken.push(Taken {
                environment,
                address,
                identities: identities.collect(),
                adopted: false,
            });
        }
        if act.story.starts_with("lose") {
            self.claimed.clear();
        }
        let names = |word: &&str| word.contains(|c: char| c == '/' || c.is_ascii_digit());
        let words = act.story.split(' ').take(2);
        let kind: Vec<&str> = words.filter(|word| !names(word)).collect();
        *self.codes.entry(format!("({})", kind.join(" "))).or_default() += 1;
        self.story.push(format!("foreign: {}", act.story));
    }

    /// Runs a random command, and the next command of the user if it is refused.
    fn turn(&mut self) -> Result<(), String> {
        let environments = self.stack.environments.clone();
        let environment = self.random.of(&environments).clone();
        let name = environment.name;
        let apply = ["apply", "-e", name, "--yes", "--timeout", "30s"];
        match self.random.below(100) {
            0..=49 => self.apply(&environment, &apply)?,
            50..=59 => {
                let only = self.address();
                self.command(&environment, &[&apply[..], &["--only", &only]].concat())?;
            }
            60..=69 => {
                let saved = ["plan", "-e", name, "--save", "plan.json"];
                if self.command(&environment, &saved)?.code == 0 {
                    if self.random.percent(40) {
                        self.stranger();
                    }
                    self.command(&environment, &["apply", "plan.json", "--timeout", "30s"])?;
                }
            }
            70..=76 => drop(self.command(&environment, &["plan", "-e", name])?),
            77..=86 => self.apply(
                &environment,
                &["destroy", "-e", name, "--yes", "--timeout", "30s"],
            )?,
            87..=91 => {
                let only = self.address();
                self.command(&environment, &["destroy", "-e", name, "--yes", "--only", &only])?;
            }
            92 => drop(self.command(&environment, &["build", "-e", name])?),
            93 => {
                self.command(&environment, &["forget", "-e", name, "--yes"])?;
                self.claimed.remove(name);
            }
            94..=95 if self.is_claimed(name) => self.elsewhere(&environment, &apply)?,
            94..=96 if environment.account => drop(self.command(&environment, &["bootstrap", "-e", name])?),
            _ => self.killed(&environment, &apply)?,
        }
        Ok(())
    }

    /// Returns whether an environment has a claim for certain: an apply made one, and the environment still holds resources.
    /// A destroy that leaves nothing deletes the claim.
    fn is_claimed(&self, environment: &str) -> bool {
        let owned = self.owned.get(environment);
        let holds = owned.is_some_and(|keys| keys.iter().any(|key| !is_record(key)));
        self.claimed.contains(environment) && holds
    }

    /// Runs commands on a copy of the stack in another directory. Each command that writes must be refused.
    fn elsewhere(&mut self, environment: &Environment, apply: &[&str]) -> Result<(), String> {
        self.stack.write(&self.world.elsewhere, self.world.account.id());
        let destroy = ["destroy", "-e", environment.name, "--yes"];
        for arguments in [apply, &destroy] {
            let run = self.world.terrace_elsewhere().run(arguments);
            self.story.push(format!(
                "elsewhere: terrace {} -> {}",
                arguments.join(" "),
                run.code
            ));
            *self
                .codes
                .entry(format!("elsewhere {} {}", arguments[0], run.code))
                .or_default() += 1;
            if run.code != 4 {
                return Err(format!(
                    "a command in another directory was not refused:\n{}{}",
                    run.stdout, run.stderr
                ));
            }
            self.compare(environment, arguments, run.code)?;
        }
        Ok(())
    }

    fn address(&mut self) -> String {
        let part = self.random.of(&self.stack.parts).shape;
        let owner = if part.of_tenants {
            self.random.of(&self.stack.tenants)
        } else {
            "platform"
        };
        format!("{owner}/{}", part.name)
    }

    /// Applies or destroys. If that is refused, the user approves the loss of data, or adopts a resource.
    fn apply(&mut self, environment: &Environment, arguments: &[&str]) -> Result<(), String> {
        let mut run = self.command(environment, arguments)?;
        if run.code == 4 {
            let mut more: Vec<String> = Vec::new();
            if self.random.percent(60) {
                more.extend(
                    self.approvals(environment, &run)
                        .into_iter()
                        .flat_map(|address| ["--approve".into(), address]),
                );
            }
            if arguments[0] == "apply" && self.random.percent(40) {
                more.extend(self.adopts(environment, &run));
            }
            if more.is_empty() {
                return Ok(());
            }
            let more: Vec<&str> = more.iter().map(String::as_str).collect();
            run = self.command(environment, &[arguments, &more].concat())?;
            if run.code != 4 {
                self.adopted(environment, &more);
            }
        }
        if run.code == 0 {
            self.released(environment, arguments[0] == "destroy")?;
            if arguments[0] == "apply" {
                self.claimed.insert(environment.name);
                self.check_no_changes(environment)?;
            } else {
                self.claimed.remove(environment.name);
            }
        }
        Ok(())
    }

    /// Returns the approvals that a refusal requires, for resources of this environment only.
    fn approvals(&self, environment: &Environment, run: &Run) -> Vec<String> {
        let foreign = |address: &String| {
            let mut taken = self.taken.iter();
            address.contains("[\"")
                || taken
                    .any(|taken| taken.environment == environment.name && address.starts_with(&taken.address))
        };
        quoted(&run.stderr, "--approve '")
            .into_iter()
            .filter(|address| !foreign(address))
            .collect()
    }

    /// Returns one of the adoptions that a refusal suggests.
    fn adopts(&mut self, environment: &Environment, run: &Run) -> Vec<String> {
        let named = quoted(&run.stderr, "--adopt '");
        let known = |address: &&String| {
            let mut taken = self.taken.iter();
            taken.any(|taken| taken.environment == environment.name && taken.address == **address)
        };
        let named: Vec<&String> = named.iter().filter(known).collect();
        if named.is_empty() {
            return Vec::new();
        }
        vec!["--adopt".into(), self.random.of(&named).to_string()]
    }

    fn adopted(&mut self, environment: &Environment, arguments: &[&str]) {
        for pair in arguments.windows(2).filter(|pair| pair[0] == "--adopt") {
            for taken in &mut self.taken {
                taken.adopted |= taken.environment == environment.name && taken.address == pair[1];
            }
        }
    }

    /// Checks that retained resources, which were adopted and have left the stack, do not carry our mark.
    fn released(&mut self, environment: &Environment, everything: bool) -> Result<(), String> {
        let parts = self.stack.parts.iter().filter(|part| part.wanted);
        let wanted: Vec<&str> = parts.map(|part| part.shape.name).collect();
        for taken in self
            .taken
            .iter_mut()
            .filter(|taken| taken.environment == environment.name && taken.adopted)
        {
            let component = taken.address.split('/').nth(1).unwrap_or_default();
            taken.adopted = !everything && wanted.contains(&component);
            if taken.adopted {
                continue;
            }
            for key in &taken.identities {
                if let Some(text) = self.now.get(key)
                    && key.starts_with("cluster ")
                    && text.contains("\"terrace.dev/stack\"")
                {
                    return Err(format!("retained with a mark: {key}\n  {text}"));
                }
            }
        }
        Ok(())
    }

    /// Checks that a plan after an apply contains no changes.
    fn check_no_changes(&mut self, environment: &Environment) -> Result<(), String> {
        let run = self.command(
            environment,
            &["plan", "-e", environment.name, "--detailed-exitcode"],
        )?;
        match run.code {
            0 => Ok(()),
            code => Err(format!(
                "the plan after an apply ended with {code}:\n{}{}",
                run.stdout, run.stderr
            )),
        }
    }

    /// Kills an apply.
    fn killed(&mut self, environment: &Environment, arguments: &[&str]) -> Result<(), String> {
        let time = 50 * self.random.below(40) as u64;
        let mut child = self.world.terrace().start(arguments);
        thread::sleep(Duration::from_millis(time));
        let _ = child.kill();
        let _ = child.wait();
        self.story
            .push(format!("terrace {} killed after {time} ms", arguments.join(" ")));
        thread::sleep(Duration::from_millis(300)); // the last request may still be running
        self.compare(environment, arguments, -1)
    }

    fn command(&mut self, environment: &Environment, arguments: &[&str]) -> Result<Run, String> {
        let run = self.world.terrace().run(arguments);
        let line = format!("terrace {} -> {}", arguments.join(" "), run.code);
        self.story.push(line);
        *self
            .codes
            .entry(format!("{} {}", arguments[0], run.code))
            .or_default() += 1;
        let documented: &[i32] = match arguments[0] {
            // No component of the stack may match `--only`.
            "apply" | "destroy" if arguments.contains(&"--only") => &[0, 1, 3, 4],
            "apply" | "destroy" => &[0, 3, 4],
            "plan" => &[0, 2, 4],
            "bootstrap" => &[0, 4],
            // There may be nothing to forget.
            "forget" => &[0, 1],
            _ => &[0],
        };
        if !documented.contains(&run.code) {
            return Err(format!("unexpected exit code:\n{}{}", run.stdout, run.stderr));
        }
        self.compare(environment, arguments, run.code)
            .map_err(|problem| format!("{problem}\n{}{}", run.stdout, run.stderr))?;
        Ok(run)
    }

    /// Compares the inventory with the one before a command of an environment.
    fn compare(&mut self, environment: &Environment, arguments: &[&str], code: i32) -> Result<(), String> {
        let after = self.world.inventory();
        let only_reads = arguments[0] == "plan" || code == 1 || code == 4;
        let owned = self.owned.entry(environment.name).or_default();
        for (key, before) in &self.now {
            if is_shared(key) {
                continue;
            }
            let mine = owned.contains(key) && (arguments[0] != "forget" || is_record(key));
            let adopted = self.taken.iter().any(|taken| {
                let asked = arguments
                    .windows(2)
                    .any(|pair| pair == ["--adopt", &taken.address]);
                taken.environment == environment.name
                    && (taken.adopted || asked)
                    && taken.identities.contains(key)
            });
            match after.get(key) {
                None if !mine || only_reads => return Err(format!("deleted: {key}\n  {before}")),
                Some(text) if text != before && ((!mine && !adopted) || only_reads) => {
                    return Err(format!("changed: {key}\n  {before}\n  {text}"));
                }
                _ => {}
            }
        }
        for key in after.keys().filter(|key| !self.now.contains_key(*key)) {
            if only_reads && !is_shared(key) {
                return Err(format!("created by a command that only reads: {key}"));
            }
            owned.insert(key.clone());
        }
        owned.retain(|key| after.contains_key(key));
        self.now = after;
        Ok(())
    }

    /// Deletes the namespaces of the case, because other cases share the cluster.
    fn clean_up(&self) {
        for key in self.now.keys().filter(|key| key.contains(&self.world.id)) {
            let Some(place) = crate::world::Place::of(key) else {
                continue;
            };
            if place.namespace.is_empty() {
                let _ = self
                    .world
                    .servers
                    .api
                    .write("DELETE", &place.path(), &serde_json::json!({}));
            }
        }
    }
}

/// Returns whether an identity belongs to a state store.
fn is_record(key: &str) -> bool {
    key.contains(" terrace-system/") || key.contains("s3.objects ") || key.contains("/.terrace/")
}

/// Returns whether an identity belongs to all environments of a directory: the namespace and the bucket of the state store, and
/// two files.
fn is_shared(key: &str) -> bool {
    matches!(key, "directory plan.json" | "directory terrace.lock")
        || key.contains("Namespace /terrace-system ")
        || (key.contains("terrace-assets-") && !key.contains("s3.objects") && key.starts_with("account"))
}

/// Returns the texts in single quotes after each occurrence of `before`.
fn quoted(text: &str, before: &str) -> Vec<String> {
    let rest = text.split(before).skip(1);
    rest.filter_map(|rest| rest.split('\'').next().map(str::to_owned))
        .collect()
}
