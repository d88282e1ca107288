//! Renders a plan as text: the steps, their targets, reasons and risks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use terrace_artifact::{Address, Owner, Text, Value, show_path, to_json_compact};
use terrace_deployer_model::plan::Loss;
use terrace_deployer_model::plan::{Action, Field, MemberChange, Plan, Purpose, Risk, Stage, Step};

/// Renders a plan as text. `color` adds terminal colors, which carry no additional meaning.
pub fn render(plan: &Plan, color: bool) -> String {
    render_approved(plan, &BTreeSet::new(), color)
}

/// Renders a plan as text for a user who has approved the loss of these addresses.
pub fn render_approved(plan: &Plan, approved: &BTreeSet<Address>, color: bool) -> String {
    let mut page = Page {
        out: String::new(),
        color,
        shared: shared_notes(plan),
        destroys: plan.purpose == Purpose::Destroy,
    };
    page.header(plan);
    let mut components: BTreeMap<(bool, &Owner, &Text), Vec<&Step>> = BTreeMap::new();
    let told = |step: &&Step| step.change.action != Action::Keep || step.awaits.is_some();
    for step in plan.steps.iter().filter(told) {
        // Components of the platform come first, because those of tenants depend on them.
        let key = (!step.owner.is_platform(), &step.owner, &step.component);
        components.entry(key).or_default().push(step);
    }
    for ((_, owner, component), steps) in components {
        page.out.push('\n');
        page.line(0, Paint::Bold, &format!("{owner}/{component}"));
        for step in steps {
            page.step(step);
        }
    }
    page.notes(plan);
    page.losses(plan, approved);
    page.totals(plan);
    page.out
}

/// Returns the totals in one line: `2 to create, 1 to update, 1 not ready, 57 unchanged`, or `no changes`.
pub fn totals(plan: &Plan) -> String {
    const WORDS: [(Action, &str); 6] = [
        (Action::Create, "to create"),
        (Action::Adopt, "to adopt"),
        (Action::Update, "to update"),
        (Action::Replace, "to replace"),
        (Action::Delete, "to delete"),
        (Action::Retain, "to retain"),
    ];
    let mut counts: BTreeMap<Action, usize> = BTreeMap::new();
    let (awaited, others): (Vec<&Step>, Vec<&Step>) =
        plan.steps.iter().partition(|step| step.awaits.is_some());
    for step in others {
        for action in actions(step) {
            *counts.entry(action).or_default() += 1;
        }
    }
    let changes = WORDS.iter().filter_map(|(action, words)| {
        let count = counts.get(action)?;
        Some(format!("{count} {words}"))
    });
    let mut parts: Vec<String> = changes.collect();
    let changes = !parts.is_empty();
    if !changes {
        parts.push("no changes".to_owned());
    }
    if !awaited.is_empty() {
        parts.push(format!("{} not ready", awaited.len()));
    }
    if changes && let Some(count) = counts.get(&Action::Keep) {
        parts.push(format!("{count} unchanged"));
    }
    parts.join(", ")
}

/// Returns the action for each resource of a step. A CloudFormation stack counts as its resources.
fn actions(step: &Step) -> Vec<Action> {
    if step.change.members.is_empty() {
        let count = if step.change.action == Action::Keep {
            step.addresses.len().max(1)
        } else {
            1
        };
        return vec![step.change.action; count];
    }
    let mut actions: Vec<Action> = step.change.members.iter().map(|member| member.action).collect();
    let touched: Vec<_> = step
        .change
        .members
        .iter()
        .filter_map(|member| member.address.as_ref())
        .collect();
    let untouched = step.addresses.iter().filter(|address| !touched.contains(address));
    if step.change.action != Action::Delete && step.stage != Some(Stage::Second) {
        actions.extend(untouched.map(|_| Action::Keep));
    }
    actions
}

fn shared_notes(plan: &Plan) -> BTreeSet<String> {
    let mut once = BTreeSet::new();
    let notes = plan.steps.iter().flat_map(|step| &step.change.notes);
    notes.filter(|note| !once.insert(*note)).cloned().collect()
}

#[derive(Clone, Copy)]
enum Paint {
    Plain,
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
}

struct Page {
    out: String,
    color: bool,
    /// Notes of several steps, which are shown only once.
    shared: BTreeSet<String>,
    /// Whether the plan destroys the environment. Then that is the reason of every deletion, and is not repeated.
    destroys: bool,
}

/// The maximum width of a value, in characters.
const WIDTH: usize = 72;
/// The maximum number of lines of a string's difference.
const LINES: usize = 12;

impl Page {
    fn header(&mut self, plan: &Plan) {
        let what = match plan.purpose {
            Purpose::Apply => "plan",
            Purpose::Destroy => "destroy plan",
        };
        let title = format!(
            "{what} for {} in {}: {}",
            plan.bundle.platform,
            plan.bundle.environment.name,
            totals(plan)
        );
        self.line(0, Paint::Bold, &title);
        let mut places: Vec<&str> = plan.targets.values().map(|identity| &*identity.shown).collect();
        places.dedup();
        self.line(1, Paint::Plain, &format!("where: {}", places.join(", ")));
        if !plan.only.is_empty() {
            let only: Vec<&str> = plan.only.iter().map(Text::as_str).collect();
            self.line(
                1,
                Paint::Plain,
                &format!("only: {} and their dependencies", only.join(", ")),
            );
        }
        if !plan.adopt.is_empty() {
            let adopt: Vec<&str> = plan.adopt.iter().map(Text::as_str).collect();
            self.line(1, Paint::Plain, &format!("adopt: {}", adopt.join(", ")));
        }
        if !plan.bundle.set.is_empty() {
            let set: Vec<&str> = plan.bundle.set.iter().map(Text::as_str).collect();
            self.line(1, Paint::Plain, &format!("set: {}", set.join(", ")));
        }
    }

    fn step(&mut self, step: &Step) {
        let mut line = format!("{} {}", mark(step.change.action), step.subject);
        let members = step.change.members.len();
        if members > 0 {
            let _ = write!(
                line,
                " ({members} {})",
                if members == 1 { "resource" } else { "resources" }
            );
        }
        let shown = !step.change.fields.is_empty() || members > 0;
        line.push_str(&self.explanation(step.change.action, &step.change.reason, step.change.risk, shown));
        if let Some(why) = &step.awaits {
            let why = why.lines().next().unwrap_or_default();
            let _ = write!(line, "  not ready: {why}");
        }
        if step.stage == Some(Stage::Second) {
            line.push_str(", after all other steps");
        }
        self.line(1, paint(step.change.action), &line);
        // All fields of a created artifact are new, so they are not listed.
        if step.change.action != Action::Create {
            self.fields(3, &step.change.fields);
        }
        self.in_place(3, &step.change.losses);
        for member in &step.change.members {
            self.member(member);
        }
        for content in &step.change.contents {
            self.line(3, Paint::Red, &format!("- {content}"));
        }
        for note in &step.change.notes {
            if !self.shared.contains(note) {
                self.line(3, Paint::Dim, &format!("note: {note}"));
            }
        }
    }

    fn member(&mut self, member: &MemberChange) {
        let name = match &member.address {
            Some(address) => address.to_string(),
            None => member.logical_id.to_string(),
        };
        let mut line = format!("{} {name} {}", mark(member.action), member.resource_type);
        let shown = !member.fields.is_empty();
        line.push_str(&self.explanation(member.action, &member.reason, member.risk, shown));
        self.line(3, paint(member.action), &line);
        if member.action != Action::Create {
            self.fields(5, &member.fields);
        }
        self.in_place(5, &member.losses);
    }

    /// Writes the in-place losses of data: the field, its values before and after, and the effect.
    fn in_place(&mut self, depth: usize, losses: &[Loss]) {
        for loss in losses {
            let value = |value: &Option<Value>| value.as_ref().map_or("unset".to_owned(), show);
            let change = match (&loss.before, &loss.after) {
                (None, None) => String::new(),
                (before, after) => format!(" {} → {}", value(before), value(after)),
            };
            let line = format!("loses data: `{}`{change}: {}", show_path(&loss.path), loss.what);
            self.line(depth, Paint::Red, &line);
        }
    }

    fn fields(&mut self, depth: usize, fields: &[Field]) {
        for field in fields {
            let path = show_path(&field.path);
            let forces = if field.forces_replacement {
                "  (forces replacement)"
            } else {
                ""
            };
            if let (Some(Value::String(before)), Some(Value::String(after)), None) =
                (&field.before, &field.after, &field.known_after)
                && (before.contains('\n') || after.contains('\n'))
            {
                self.line(depth, Paint::Plain, &format!("{path}:{forces}"));
                self.text(depth + 1, before, after);
                continue;
            }
            let after = match (&field.known_after, &field.after) {
                (Some(source), _) => Some(format!("(known after apply: {source})")),
                (None, Some(value)) => Some(show(value)),
                (None, None) => None,
            };
            let change = match (field.before.as_ref().map(show), after) {
                (Some(before), Some(after)) => format!("{before} → {after}"),
                (None, Some(after)) => format!("{after}  (new)"),
                (Some(before), None) => format!("{before}  (removed)"),
                (None, None) => "changes".to_owned(),
            };
            self.line(depth, Paint::Plain, &format!("{path}: {change}{forces}"));
        }
    }

    /// Writes the lines in which two strings differ.
    fn text(&mut self, depth: usize, before: &str, after: &str) {
        let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
        let start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        let rest = old.len().min(new.len()) - start;
        let end = old.iter().rev().zip(new.iter().rev()).take(rest);
        let end = end.take_while(|(old, new)| old == new).count();
        let removed = old[start..old.len() - end]
            .iter()
            .map(|line| ("-", line, Paint::Red));
        let added = new[start..new.len() - end]
            .iter()
            .map(|line| ("+", line, Paint::Green));
        let all = removed.chain(added);
        let count = old.len() + new.len() - 2 * (start + end);
        for (sign, line, paint) in all.take(LINES) {
            self.line(depth, paint, &format!("{sign} {}", shorten(line)));
        }
        if count > LINES {
            self.line(depth, Paint::Dim, &format!("and {} more lines", count - LINES));
        }
        if count == 0 {
            self.line(depth, Paint::Dim, "only line endings change");
        }
    }

    fn notes(&mut self, plan: &Plan) {
        let mut notes = plan.notes.clone();
        notes.extend(plan.leaves.iter().cloned());
        for note in &self.shared {
            let of = plan.steps.iter().filter(|step| step.change.notes.contains(note));
            notes.push(format!("{note} ({} steps)", of.count()));
        }
        for step in plan
            .steps
            .iter()
            .filter(|step| step.change.action == Action::Keep && step.awaits.is_none())
        {
            let own = step
                .change
                .notes
                .iter()
                .filter(|note| !self.shared.contains(*note));
            notes.extend(own.map(|note| format!("{}: {note}", step.subject)));
        }
        if !notes.is_empty() {
            self.out.push('\n');
        }
        for note in notes {
            self.line(0, Paint::Plain, &format!("note: {note}"));
        }
    }

    fn losses(&mut self, plan: &Plan, approved: &BTreeSet<Address>) {
        let idle: Vec<_> = plan.approved_for_nothing(approved).collect();
        if !idle.is_empty() {
            self.out.push('\n');
        }
        for (address, meant) in idle {
            let warning = format!("warning: {}", approves_nothing(address, meant.as_deref()));
            self.line(0, Paint::Yellow, &warning);
        }
        let groups = [
            (plan.loses_data(), "the data of ", "is lost", "data would be lost"),
            (
                plan.retains(),
                "the data of ",
                "is retained but no longer managed",
                "data would be retained but no longer managed",
            ),
            (
                plan.loses_identity(),
                "an address or a credential of ",
                "changes",
                "an address or a credential that other systems use would change",
            ),
        ];
        for (addresses, of, what, _) in &groups {
            let agreed = addresses.iter().filter(|address| approved.contains(**address));
            let names: Vec<String> = agreed.map(ToString::to_string).collect();
            if !names.is_empty() {
                self.out.push('\n');
                self.line(
                    0,
                    Paint::Red,
                    &format!("approved: {of}{} {what}", names.join(", ")),
                );
            }
        }
        for (addresses, _, _, what) in groups {
            let open = addresses
                .into_iter()
                .filter(|address| !approved.contains(*address));
            let open: Vec<&Address> = open.collect();
            if open.is_empty() {
                continue;
            }
            self.out.push('\n');
            let warning = format!("warning: {what}; apply requires these approvals:");
            self.line(0, Paint::Red, &warning);
            for address in open {
                self.line(2, Paint::Plain, &format!("--approve '{address}'"));
            }
        }
    }

    fn totals(&mut self, plan: &Plan) {
        if !plan.is_empty() {
            self.out.push('\n');
            self.line(0, Paint::Bold, &totals(plan));
        }
    }

    /// Returns the action, the reason and the risk. A create needs no reason, and neither does an update whose fields
    /// are `shown`.
    fn explanation(&self, action: Action, reason: &str, risk: Risk, shown: bool) -> String {
        let mut out = match action {
            Action::Create | Action::Keep => String::new(),
            Action::Update if shown => "  updated".to_owned(),
            Action::Update => format!("  updated: {reason}"),
            Action::Adopt => format!("  adopted: {reason}"),
            Action::Replace => format!("  replaced: {reason}"),
            Action::Delete if self.destroys => "  deleted".to_owned(),
            Action::Delete => format!("  deleted: {reason}"),
            Action::Retain => format!("  retained: {reason}"),
        };
        match risk {
            Risk::None => {}
            Risk::Restart => out.push_str("  [restarts]"),
            Risk::Replace if action == Action::Replace => {}
            Risk::Replace => out.push_str("  [replaces]"),
            Risk::IdentityLoss => out.push_str("  [LOSES IDENTITY]"),
            Risk::DataLoss => out.push_str("  [LOSES DATA]"),
        }
        out
    }

    fn line(&mut self, depth: usize, paint: Paint, text: &str) {
        for _ in 0..depth {
            self.out.push_str("  ");
        }
        let code = match paint {
            Paint::Plain => "",
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Green => "32",
            Paint::Yellow => "33",
            Paint::Red => "31",
        };
        if self.color && !code.is_empty() {
            let _ = write!(self.out, "\u{1b}[{code}m{text}\u{1b}[0m");
        } else {
            self.out.push_str(text);
        }
        self.out.push('\n');
    }
}

/// Explains why an approval is not needed, and names the address that the user may have meant.
pub(crate) fn approves_nothing(address: &Address, meant: Option<&str>) -> String {
    let mut line =
        format!("`--approve '{address}'` has no effect: no change of `{address}` needs an approval");
    if let Some(meant) = meant {
        let _ = write!(line, "; did you mean `{meant}`?");
    }
    line
}

fn mark(action: Action) -> &'static str {
    match action {
        Action::Keep => "=",
        Action::Create => "+",
        Action::Adopt => ">",
        Action::Update => "~",
        Action::Replace => "-/+",
        Action::Delete => "-",
        Action::Retain => "<",
    }
}

fn paint(action: Action) -> Paint {
    match action {
        Action::Keep => Paint::Dim,
        Action::Create | Action::Adopt => Paint::Green,
        Action::Update => Paint::Yellow,
        Action::Replace | Action::Delete | Action::Retain => Paint::Red,
    }
}

fn show(value: &Value) -> String {
    shorten(&to_json_compact(value))
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    // The end of a long value is as important as its beginning: the tag of an image, the name in an ARN.
    let tail: String = text.chars().rev().take(20).collect();
    let tail: String = tail.chars().rev().collect();
    let head: String = text.chars().take(WIDTH - 21).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests;
