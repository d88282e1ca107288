//! Assets that are deployed with the real program, and unpacked in the account.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use serde_json::{Value as Json, json};
use terrace_artifact::base64;
use terrace_tests::servers::{self, Account};
use terrace_tests::tools::Tool;
use terrace_tests::{Run, Scratch, Terrace};

const STACK: &str = r#"{kind: Platform, name: assets}
---
{kind: Environment, name: live, class: development, aws: {account: "ACCOUNT", region: eu-west-1}}
---
kind: Component
name: NAME
resources:
  function:
    type: AWS::Lambda::Function
    properties:
      FunctionName: "{{ name }}"
      Runtime: provided.al2023
      Handler: bootstrap
      Role: arn:aws:iam::111122223333:role/assets
      Code: {S3Bucket: "{{ asset('src').bucket }}", S3Key: "{{ asset('src').key }}"}
"#;

/// Prints an archive as JSON: names, modes and contents. Uses Python's zip reader, which is independent of Terrace.
const LIST: &str = "
import json, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
print(json.dumps([[entry.filename, oct(entry.external_attr >> 16), archive.read(entry).decode()] for entry in archive.infolist()]))
";

/// A stack with one function, and a directory with typical files of a build.
struct Delivered {
    stack: Scratch,
    account: Account<'static>,
}

impl Delivered {
    fn new(name: &str) -> Delivered {
        let delivered = Delivered {
            stack: Scratch::new("assets"),
            account: servers::aws().account(),
        };
        let text = STACK
            .replace("ACCOUNT", delivered.account.id())
            .replace("NAME", name);
        delivered.stack.write("stack.yaml", &text);
        for (path, text) in [
            ("src/bootstrap", "#!/bin/sh\n"),
            ("src/.env", "LOG_LEVEL=info\n"),
            ("src/node_modules/a/index.js", "exports.a = 1\n"),
            ("src/numpy/.libs/libopenblas.so.0", "ELF\n"),
            ("src/target/out.js", "1\n"),
            ("src/golden/out.js", "2\n"),
            ("src/tests/test_handler.py", "import handler\n"),
            ("src/.terraceignore", "/tests/\n"),
        ] {
            delivered.stack.write(path, text);
        }
        delivered.mode("src/bootstrap", 0o755);
        let source = delivered.stack.path().join("src");
        symlink(".libs/libopenblas.so.0", source.join("numpy/libopenblas.so")).expect("a link");
        fs::create_dir(source.join("cache")).expect("a directory");
        delivered
    }

    fn mode(&self, path: &str, mode: u32) {
        let path = self.stack.path().join(path);
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode can be set");
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Terrace::in_directory(self.stack.path())
            .account(&self.account)
            .run(arguments)
    }

    /// Returns the archives in the bucket.
    fn archives(&self) -> Vec<String> {
        let bucket = format!("terrace-assets-{}-eu-west-1", self.account.id());
        let request = json!({"Bucket": bucket, "Prefix": "assets/"});
        let listed = self.account.call("s3", "list_objects_v2", request);
        let objects = listed["Contents"].as_array().cloned().unwrap_or_default();
        let keys = objects.iter().filter_map(|object| object["Key"].as_str());
        keys.map(str::to_owned).collect()
    }

    /// Returns the contents of an archive in the bucket.
    fn contents(&self, key: &str) -> Json {
        let bucket = format!("terrace-assets-{}-eu-west-1", self.account.id());
        let object = self
            .account
            .call("s3", "get_object", json!({"Bucket": bucket, "Key": key}));
        let bytes = base64::decode(object["Body"].as_str().expect("a body")).expect("an archive");
        let path = self.stack.path().join("delivered.zip");
        fs::write(&path, bytes).expect("the archive can be written");
        let output = Command::new(Tool::Python.path())
            .args(["-c", LIST])
            .arg(&path)
            .output();
        fs::remove_file(&path).expect("the archive exists");
        serde_json::from_slice(&output.expect("Python runs").stdout).expect("Python prints JSON")
    }
}

#[test]
fn the_archive_contains_exactly_the_directory() {
    let delivered = Delivered::new("exact");
    let _ = delivered.run(&["bootstrap", "-e", "live"]).expect(0);
    for command in [
        &["validate"][..],
        &["plan", "-e", "live"],
        &["apply", "-e", "live", "--yes"],
    ] {
        let stderr = delivered.run(command).expect(0).stderr;
        let notes = stderr.matches("the asset `src` excludes `tests/`").count();
        assert_eq!(notes, 1, "{command:?}\n{stderr}");
    }
    let [key] = delivered.archives().try_into().expect("one archive");
    assert_eq!(
        delivered.contents(&key),
        json!([
            [".env", "0o100644", "LOG_LEVEL=info\n"],
            ["bootstrap", "0o100755", "#!/bin/sh\n"],
            ["cache/", "0o40755", ""],
            ["golden/out.js", "0o100644", "2\n"],
            ["node_modules/a/index.js", "0o100644", "exports.a = 1\n"],
            ["numpy/.libs/libopenblas.so.0", "0o100644", "ELF\n"],
            ["numpy/libopenblas.so", "0o120777", ".libs/libopenblas.so.0"],
            ["target/out.js", "0o100644", "1\n"],
        ])
    );
}

#[test]
fn an_archive_depends_only_on_contents_and_executable_bits() {
    let delivered = Delivered::new("same");
    let _ = delivered.run(&["bootstrap", "-e", "live"]).expect(0);
    let _ = delivered.run(&["apply", "-e", "live", "--yes"]).expect(0);
    let plan = |expected: i32| {
        let _ = delivered
            .run(&["plan", "-e", "live", "--detailed-exitcode"])
            .expect(expected);
    };
    plan(0);
    // Times, permissions of other users, and excluded files do not change the archive.
    let source = delivered.stack.path().join("src");
    let file = File::options()
        .append(true)
        .open(source.join("bootstrap"))
        .expect("a file");
    file.set_modified(SystemTime::UNIX_EPOCH)
        .expect("its time can be set");
    delivered.mode("src/bootstrap", 0o700);
    delivered.mode("src/.env", 0o600);
    delivered.mode("src/node_modules", 0o700);
    delivered
        .stack
        .write("src/__pycache__/handler.cpython-313.pyc", "bytecode");
    delivered.stack.write("src/tests/test_more.py", "import more\n");
    delivered.stack.write("src/.DS_Store", "x");
    plan(0);
    delivered.mode("src/node_modules/a/index.js", 0o755);
    plan(2);
    delivered.mode("src/node_modules/a/index.js", 0o644);
    plan(0);
    delivered.stack.write("src/new.js", "3\n");
    plan(2);
}

#[test]
fn refuses_files_that_cannot_be_archived_before_any_upload() {
    let delivered = Delivered::new("refused");
    let _ = delivered.run(&["bootstrap", "-e", "live"]).expect(0);
    let source = delivered.stack.path().join("src");
    let refused = |words: &str| {
        let stderr = delivered.run(&["apply", "-e", "live", "--yes"]).expect(1).stderr;
        assert!(stderr.contains(words), "{words}\n{stderr}");
        assert!(stderr.contains("stack.yaml:15:28"), "{stderr}");
    };
    let made = Command::new("mkfifo")
        .arg(source.join("pipe"))
        .status()
        .expect("mkfifo");
    assert!(made.success());
    refused("`src/pipe` is a named pipe");
    fs::remove_file(source.join("pipe")).expect("the file exists");
    let _listener = UnixListener::bind(source.join("s")).expect("a socket");
    refused("`src/s` is a socket");
    fs::remove_file(source.join("s")).expect("the file exists");
    let name = Path::new(OsStr::from_bytes(b"caf\xe9.js"));
    fs::write(source.join(name), "1").expect("a file");
    refused("whose name is not valid UTF-8");
    fs::remove_file(source.join(name)).expect("the file exists");
    symlink("/etc/hostname", source.join("host")).expect("a link");
    refused("`src/host` is a symbolic link to an absolute path");
    fs::remove_file(source.join("host")).expect("the file exists");
    fs::remove_dir_all(&source).expect("the directory exists");
    symlink("../../elsewhere", &source).expect("a link");
    refused("the asset `src` points outside the directory of the stack");
    assert_eq!(delivered.archives(), Vec::<String>::new());
}
