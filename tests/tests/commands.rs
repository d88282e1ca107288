//! The behavior of the program: exit codes, output streams, saved plans, and files that it must not change.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::{fs, thread, time};

use terrace_tests::servers;
use terrace_tests::{Scratch, Terrace};

/// A stack with one component, rendered to a directory.
const STACK: &str = "\
kind: Platform
name: shop
---
kind: Environment
name: development
class: development
directory: deployed
---
kind: Component
name: notices
resources:
  page:
    type: v1/ConfigMap
    metadata: {namespace: default}
    data: {greeting: hello}
";

fn shop() -> (Scratch, Terrace) {
    let scratch = Scratch::new("shop");
    scratch.write("stack.yaml", STACK);
    let terrace = Terrace::in_directory(scratch.path());
    (scratch, terrace)
}

/// Returns every file below a directory with its bytes.
fn snapshot(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            files.push((path.display().to_string(), fs::read(&path).expect("a file")));
        }
    }
    files.sort();
    files
}

#[test]
fn wrong_arguments_exit_with_1_and_help_with_0() {
    let (_scratch, terrace) = shop();
    for arguments in [
        &["paln"][..],
        &["plan", "--wat"],
        &[],
        &["schema", "stac"],
        &["graph", "--output", "png"],
    ] {
        let run = terrace.run(arguments).expect(1);
        assert_eq!(run.stdout, "", "{arguments:?}");
        assert!(!run.stderr.is_empty(), "{arguments:?}");
    }
    for arguments in [
        &["--help"][..],
        &["plan", "--help"],
        &["--version"],
        &["completions", "zsh"],
    ] {
        let run = terrace.run(arguments).expect(0);
        assert_eq!(run.stderr, "", "{arguments:?}");
        assert!(!run.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn every_command_has_a_man_page_with_its_flags() {
    let (scratch, terrace) = shop();
    assert_eq!(terrace.run(&["man", "pages/man1"]).expect(0).stdout, "");
    let page = |name: &str| {
        let path = scratch.path().join("pages/man1").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    // roff escapes hyphens.
    assert!(page("terrace-plan.1").contains("detailed\\-exitcode"));
    let overview = page("terrace.1");
    let help = terrace.run(&["--help"]).expect(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() > 10, "{help}");
    for command in commands {
        assert!(overview.contains(&format!("terrace\\-{command}(1)")), "{command}");
        assert!(
            page(&format!("terrace-{command}.1")).contains(".SH NAME"),
            "{command}"
        );
    }
}

#[test]
fn output_is_not_colored_without_a_terminal() {
    let (scratch, terrace) = shop();
    for arguments in [
        &["plan", "-e", "development"][..],
        &["validate"],
        &["plan", "--help"],
        &["graph", "-e", "development"],
    ] {
        let run = terrace.run(arguments).expect(0);
        assert!(
            !format!("{}{}", run.stdout, run.stderr).contains('\x1b'),
            "{arguments:?}"
        );
    }
    scratch.edit("stack.yaml", "name: notices", "nmae: notices");
    let run = terrace
        .variable("TERM", "xterm-256color")
        .run(&["validate"])
        .expect(1);
    assert_eq!(run.stdout, "");
    assert!(!run.stderr.contains('\x1b'), "{}", run.stderr);
}

#[test]
fn a_closed_output_pipe_is_not_an_error() {
    let (_scratch, terrace) = shop();
    let mut child = terrace.start(&["schema", "stack"]);
    let mut first = [0; 10];
    let mut out = child.stdout.take().expect("a pipe");
    out.read_exact(&mut first).expect("the beginning of a schema");
    drop(out);
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn prints_diagnostics_as_json_on_request() {
    let (scratch, terrace) = shop();
    scratch.edit("stack.yaml", "class: development", "class: developmnt");
    let run = terrace.run(&["validate", "--output", "json"]).expect(1);
    assert_eq!(run.stderr, "");
    let json = run.json();
    assert_eq!(json["errors"], 1);
    let problem = &json["diagnostics"][0];
    assert_eq!(problem["code"], "unknown-value");
    assert_eq!(
        (&problem["at"]["file"], &problem["at"]["line"]),
        (&"stack.yaml".into(), &6.into())
    );
    assert_eq!(problem["help"][0]["edit"]["replacement"], "development");
}

#[test]
fn validate_and_plan_write_nothing() {
    let (scratch, terrace) = shop();
    let before = snapshot(scratch.path());
    let _ = terrace.run(&["validate"]).expect(0);
    let _ = terrace.run(&["plan", "-e", "development"]).expect(0);
    let _ = terrace.run(&["graph", "-e", "development"]).expect(0);
    assert_eq!(snapshot(scratch.path()), before);
}

#[test]
fn does_not_apply_without_confirmation() {
    let (scratch, terrace) = shop();
    let before = snapshot(scratch.path());
    let run = terrace.run(&["apply", "-e", "development"]).expect(1);
    assert!(run.stderr.contains("--yes"), "{}", run.stderr);
    assert_eq!(snapshot(scratch.path()), before);
}

#[test]
fn detailed_exit_codes_show_whether_there_are_changes() {
    let (scratch, terrace) = shop();
    let plan = ["plan", "-e", "development", "--detailed-exitcode"];
    let _ = terrace.run(&plan).expect(2);
    let _ = terrace.run(&["apply", "-e", "development", "--yes"]).expect(0);
    let run = terrace.run(&plan).expect(0);
    assert!(run.stdout.contains("no changes"), "{}", run.stdout);
    scratch.edit("stack.yaml", "greeting: hello", "greeting: welcome");
    let run = terrace.run(&plan).expect(2);
    assert!(
        run.stdout.contains("hello") && run.stdout.contains("welcome"),
        "{}",
        run.stdout
    );
    let _ = terrace.run(&["plan", "-e", "development"]).expect(0);
}

#[test]
fn the_location_and_order_of_documents_do_not_matter() {
    let (scratch, terrace) = shop();
    let _ = terrace.run(&["apply", "-e", "development", "--yes"]).expect(0);
    let mut documents: Vec<&str> = STACK.split("---\n").collect();
    documents.reverse();
    fs::remove_file(scratch.path().join("stack.yaml")).expect("a file");
    for (number, document) in documents.iter().enumerate() {
        scratch.write(
            &format!("somewhere/{number}/else.yml"),
            &format!("# moved\n\n{document}"),
        );
    }
    let run = terrace
        .run(&["plan", "-e", "development", "--detailed-exitcode"])
        .expect(0);
    assert!(run.stdout.contains("no changes"), "{}", run.stdout);
}

#[test]
fn a_saved_plan_is_applied_exactly_or_refused() {
    let (scratch, terrace) = shop();
    let _ = terrace
        .run(&["plan", "-e", "development", "--save", "plan.json"])
        .expect(0);
    // The plan contains its own bundle, so later edits of the stack have no effect.
    scratch.edit("stack.yaml", "greeting: hello", "greeting: welcome");
    let _ = terrace.run(&["apply", "plan.json"]).expect(0);
    let page = scratch.read("deployed/kubernetes/platform/notices.yaml");
    assert!(page.contains("greeting: hello"), "{page}");

    let again = terrace.run(&["apply", "plan.json"]).expect(4);
    assert!(again.stderr.contains("since it was made"), "{}", again.stderr);
    assert_eq!(scratch.read("deployed/kubernetes/platform/notices.yaml"), page);

    let run = terrace
        .run(&["apply", "plan.json", "-e", "development"])
        .expect(1);
    assert!(run.stderr.contains("saved plan"), "{}", run.stderr);
    scratch.write("broken.json", "{\"format\": 3}");
    let run = terrace.run(&["apply", "broken.json"]).expect(1);
    assert!(run.stderr.contains("is not a saved plan"), "{}", run.stderr);
}

#[test]
fn a_saved_plan_is_applied_only_next_to_its_stack() {
    let scratch = Scratch::new("saved");
    scratch.write("shop/stack.yaml", STACK);
    scratch.write("elsewhere/notes.txt", "nothing to do with it\n");
    let terrace = Terrace::in_directory(scratch.path());
    let save = ["plan", "shop", "-e", "development", "--save", "plan.json"];
    let _ = terrace.run(&save).expect(0);
    let elsewhere = Terrace::in_directory(&scratch.path().join("elsewhere"));
    let run = elsewhere.run(&["apply", "../plan.json"]).expect(1);
    assert!(
        run.stderr
            .contains("the plan refers to a stack directory `shop` that contains `stack.yaml`, which does not exist here"),
        "{}",
        run.stderr
    );
    let _ = terrace.run(&["apply", "plan.json"]).expect(0);
    let _ = scratch.read("shop/deployed/kubernetes/platform/notices.yaml");

    // A plan of a stack in the current directory is not applied in another directory.
    let inside = Terrace::in_directory(&scratch.path().join("shop"));
    let _ = inside.run(&["destroy", "-e", "development", "--yes"]).expect(0);
    let save = ["plan", "-e", "development", "--save", "../own.json"];
    let _ = inside.run(&save).expect(0);
    let run = elsewhere.run(&["apply", "../own.json"]).expect(1);
    assert!(
        run.stderr.contains(
            "the plan refers to a stack directory `.` that contains `stack.yaml`, which does not exist here"
        ),
        "{}",
        run.stderr
    );
    let _ = inside.run(&["apply", "../own.json"]).expect(0);
}

#[test]
fn a_build_deletes_only_files_of_earlier_builds() {
    let (scratch, terrace) = shop();
    let _ = terrace.run(&["build"]).expect(0);
    let file = "out/development/kubernetes/platform/notices.yaml";
    assert!(scratch.read(file).contains("greeting: hello"));
    scratch.write("out/development/kubernetes/platform/mine.yaml", "mine: true\n");
    scratch.edit("stack.yaml", "name: notices", "name: signs");
    let _ = terrace.run(&["build"]).expect(0);
    assert!(!scratch.path().join(file).exists());
    let _ = scratch.read("out/development/kubernetes/platform/signs.yaml");
    let _ = scratch.read("out/development/kubernetes/platform/mine.yaml");
    let _ = terrace.run(&["apply", "-e", "development", "--yes"]).expect(0);
    let _ = terrace.run(&["build", "--out", "deployed"]).expect(1);
}

#[test]
fn goldens_fail_on_missing_extra_and_different_files() {
    let (scratch, terrace) = shop();
    let _ = terrace.run(&["test"]).expect(1);
    let _ = terrace.run(&["test", "--update"]).expect(0);
    let _ = terrace.run(&["test"]).expect(0);
    let file = "golden/development/kubernetes/platform/notices.yaml";
    let accepted = scratch.read(file);

    scratch.edit(file, "greeting: hello", "greeting: hi");
    let run = terrace.run(&["test"]).expect(1);
    assert!(
        run.stdout.contains("-  greeting: hi\n+  greeting: hello\n"),
        "{}",
        run.stdout
    );
    scratch.write(file, &accepted);

    scratch.write("golden/development/kubernetes/platform/old.yaml", "a: 1\n");
    let run = terrace.run(&["test"]).expect(1);
    assert!(run.stdout.contains("old.yaml"), "{}", run.stdout);
    let _ = terrace.run(&["test", "--update"]).expect(0);

    scratch.write("golden/README.md", "these are the golden files\n");
    fs::remove_file(scratch.path().join(file)).expect("a file");
    let _ = terrace.run(&["test"]).expect(1);
    let _ = terrace.variable("UPDATE_EXPECT", "1").run(&["test"]).expect(0);
    assert_eq!(scratch.read(file), accepted);
    let _ = scratch.read("golden/README.md");
}

#[test]
fn updating_goldens_deletes_only_golden_files() {
    let (scratch, terrace) = shop();
    scratch.edit("stack.yaml", "name: shop", "name: shop\ngolden: .");
    scratch.write("src/jobs/report.py", "print()\n");
    let _ = terrace.run(&["test", "--update"]).expect(0);
    let _ = terrace.run(&["test"]).expect(0);
    let _ = scratch.read("stack.yaml");
    let _ = scratch.read("src/jobs/report.py");
}

#[test]
fn runs_and_compares_the_test_cases_of_a_module() {
    let scratch = Scratch::new("module");
    scratch.write(
        "page/module.yaml",
        "kind: Module\nname: page\nversion: 1.0.0\nsummary: a page\ninputs:\n  text: {type: string, maxLength: 5}\n\
         resources:\n  page:\n    type: v1/ConfigMap\n    metadata: {namespace: default}\n    data: {text: \"{{ inputs.text }}\"}\n",
    );
    let terrace = Terrace::in_directory(scratch.path());
    let run = terrace.run(&["test", "page"]).expect(1);
    assert!(run.stderr.contains("has no test cases"), "{}", run.stderr);
    scratch.write("page/tests/short.yaml", "inputs: {text: hello}\n");
    scratch.write(
        "page/tests/long.yaml",
        "inputs: {text: too long}\nexpect: [invalid-value]\n",
    );
    let _ = terrace.run(&["test", "page"]).expect(1);
    let _ = terrace.run(&["test", "page", "--update"]).expect(0);
    let _ = terrace.run(&["test", "page"]).expect(0);
    assert!(
        scratch
            .read("page/tests/long/diagnostics.txt")
            .contains("invalid-value")
    );

    scratch.edit("page/module.yaml", "maxLength: 5", "maxLength: 50");
    let run = terrace.run(&["test", "page"]).expect(1);
    assert!(run.stderr.contains("expected `invalid-value`"), "{}", run.stderr);
    // `--update` cannot change the expectations that a case itself states, and updates none of its files.
    let before = snapshot(scratch.path());
    let _ = terrace.run(&["test", "page", "--update"]).expect(1);
    assert_eq!(snapshot(scratch.path()), before);
}

#[test]
fn suggests_the_environment_if_none_is_named() {
    let (_scratch, terrace) = shop();
    let run = terrace.run(&["plan"]).expect(1);
    assert!(run.stderr.contains("`-e development`"), "{}", run.stderr);
    let run = terrace.run(&["plan", "-e", "developmnt"]).expect(1);
    assert!(run.stderr.contains("`development`"), "{}", run.stderr);
}

#[test]
fn suggests_similar_addresses_and_fields() {
    let (_scratch, terrace) = shop();
    let explain = |arguments: &[&str], code| {
        let all = [&["explain"], arguments, &["-e", "development"]].concat();
        let run = terrace.run(&all).expect(code);
        format!("{}{}", run.stdout, run.stderr)
    };
    assert_eq!(
        explain(&["platform/notices"], 0),
        "platform/notices has one resource:\n  platform/notices/page: ConfigMap\n"
    );
    let message = explain(&["platform/notice"], 1);
    assert!(message.contains("did you mean `platform/notices`?"), "{message}");
    let message = explain(&["platform/notices/page", "data.greetin"], 1);
    assert!(message.contains("did you mean `data.greeting`?"), "{message}");
    let message = explain(&["platform/notices/page", "data.x"], 1);
    assert!(message.contains("`data` has `greeting`"), "{message}");

    let approve = [
        "apply",
        "-e",
        "development",
        "--yes",
        "--approve",
        "platform/notices",
    ];
    let run = terrace.run(&approve).expect(1);
    assert!(
        run.stderr
            .contains("this plan needs no approval for the component"),
        "{}",
        run.stderr
    );
}

#[test]
fn quotes_arguments_of_suggested_commands() {
    let scratch = Scratch::new("pasted");
    let terrace = Terrace::in_directory(scratch.path());
    let run = terrace.run(&["init", "My Shop"]).expect(0);
    let output = format!("{}{}", run.stdout, run.stderr);
    assert!(
        output.contains("terrace plan 'My Shop' -e development"),
        "{output}"
    );
}

#[test]
fn a_stack_created_by_init_compiles() {
    let scratch = Scratch::new("init");
    let terrace = Terrace::in_directory(scratch.path());
    let _ = terrace.run(&["init", "web-shop"]).expect(0);
    let run = terrace.run(&["validate", "web-shop"]).expect(0);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    let _ = terrace.run(&["test", "web-shop", "--update"]).expect(0);
    let _ = terrace.run(&["plan", "web-shop", "-e", "production"]).expect(0);
    let settings = scratch.read("web-shop/.vscode/settings.json");
    let settings: serde_json::Value = serde_json::from_str(&settings).expect("JSON");
    for (schema, _) in settings["yaml.schemas"].as_object().expect("schemas") {
        let schema: serde_json::Value =
            serde_json::from_str(&scratch.read(&format!("web-shop/{schema}"))).expect("a schema");
        assert!(schema["$schema"].is_string());
    }
    let run = terrace.run(&["init", "web-shop"]).expect(1);
    assert!(run.stderr.contains("not empty"), "{}", run.stderr);
}

/// A Deployment that never becomes ready, because no node has such a label. The environment's name is not a valid
/// object name.
const SLOW: &str = "\
kind: Platform
name: slow
---
kind: Environment
name: acceptance_testing
class: testing
kubernetes: {context: slow-testing}
---
kind: Component
name: waiter
resources:
  never:
    type: apps/v1/Deployment
    metadata: {name: never, namespace: default}
    spec:
      selector: {matchLabels: {app: never}}
      template:
        metadata: {labels: {app: never}}
        spec:
          nodeSelector: {there-is: none}
          containers: [{name: main, image: 'registry.example.com/main:1'}]
";

#[cfg(unix)]
#[test]
fn ctrl_c_stops_the_apply_and_the_next_apply_completes_it() {
    let cluster = servers::kubernetes();
    let scratch = Scratch::new("slow");
    scratch.write("stack.yaml", SLOW);
    let kubeconfig = scratch.path().join("kubeconfig");
    servers::write_kubeconfig(&kubeconfig, &[("slow-testing", cluster)]);
    let terrace = Terrace::in_directory(scratch.path()).kubeconfig(&kubeconfig);
    let child = terrace.start(&["apply", "-e", "acceptance_testing", "--yes"]);
    let pid = child.id().to_string();
    let deadline = time::Instant::now() + time::Duration::from_secs(60);
    while cluster.get(&["deployment", "never", "-n", "default"]).is_none() {
        assert!(time::Instant::now() < deadline, "the Deployment was not created");
        thread::sleep(time::Duration::from_millis(100));
    }
    let _ = Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .expect("kill runs");
    let output = child.wait_with_output().expect("the program ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("stopping") && stderr.contains("not ready"),
        "{stderr}"
    );

    scratch.edit("stack.yaml", "          nodeSelector: {there-is: none}\n", "");
    let run = terrace
        .run(&["apply", "-e", "acceptance_testing", "--yes"])
        .expect(0);
    assert!(
        run.stderr.contains("applied slow in acceptance_testing"),
        "{}",
        run.stderr
    );
    let _ = terrace
        .run(&["plan", "-e", "acceptance_testing", "--detailed-exitcode"])
        .expect(0);
    let _ = terrace
        .run(&["destroy", "-e", "acceptance_testing", "--yes"])
        .expect(0);
    assert!(cluster.get(&["deployment", "never", "-n", "default"]).is_none());
}
