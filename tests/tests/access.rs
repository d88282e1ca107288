//! Access to data on an endpoint that checks permissions: only the named principals have access, whatever IAM allows.

use serde_json::{Value as Json, json};
use terrace_tests::servers::{Account, Credentials, Endpoint};
use terrace_tests::{Scratch, Terrace};

const STACK: &str = r#"
{kind: Platform, name: acme}
---
{kind: Environment, name: live, class: development, aws: {account: "ACCOUNT", region: eu-west-1}}
---
{kind: Component, name: kms, module: kms}
---
kind: Component
name: lake
module: lake
inputs:
  zones: {processed: null, curated: null, archive: null, raw: {readers: ["arn:aws:iam::ACCOUNT:user/analyst"]}}
  noncurrent_retention: DAYS
---
kind: Component
name: jobs
resources:
  reader: {type: AWS::IAM::Role, properties: {AssumeRolePolicyDocument: TRUST}}
  writer: {type: AWS::IAM::Role, properties: {RoleName: "{{ name }}-writer", AssumeRolePolicyDocument: TRUST}}
grants:
  - {who: reader, may: read, on: "{{ ref('lake').raw }}", prefix: incoming/}
  - {who: writer, may: read_write, on: "{{ ref('lake').raw }}"}
"#;

/// An account with the deployed stack.
struct Deployed<'e> {
    account: Account<'e>,
    stack: Scratch,
    bucket: String,
    key: String,
}

impl<'e> Deployed<'e> {
    fn on(endpoint: &'e Endpoint) -> Deployed<'e> {
        let account = endpoint.account();
        let stack = Scratch::new("access");
        let deployed = Deployed {
            bucket: format!("acme-raw-live-{}", account.id()),
            stack,
            key: String::new(),
            account,
        };
        let terrace = Terrace::in_directory(deployed.stack.path()).account(&deployed.account);
        deployed.write("30d");
        let _ = terrace.run(&["bootstrap", "-e", "live"]).expect(0);
        let _ = terrace.run(&["apply", "-e", "live", "--yes"]).expect(0);
        let aliases = deployed.account.call("kms", "list_aliases", json!({}));
        let aliases = aliases["Aliases"].as_array().cloned().unwrap_or_default();
        let own = aliases
            .iter()
            .find(|alias| alias["AliasName"] == "alias/acme-live-platform-kms");
        let key = own.expect("the key has an alias")["TargetKeyId"]
            .as_str()
            .unwrap_or_default();
        Deployed {
            key: key.to_owned(),
            ..deployed
        }
    }

    fn write(&self, days: &str) {
        let id = self.account.id();
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{id}:root")}, "Action": "sts:AssumeRole"}],
        });
        let text = STACK
            .replace("ACCOUNT", id)
            .replace("TRUST", &trust.to_string())
            .replace("DAYS", days);
        self.stack.write("stack.yaml", &text);
    }

    /// Creates a user whom IAM allows these actions on all resources.
    fn user(&self, name: &str, actions: &[&str]) -> Account<'e> {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
        });
        let root = &self.account;
        root.call("iam", "create_user", json!({"UserName": name}));
        root.call(
            "iam",
            "put_user_policy",
            json!({"UserName": name, "PolicyName": "all", "PolicyDocument": policy.to_string()}),
        );
        let key = root.call("iam", "create_access_key", json!({"UserName": name}));
        root.acting_as(Credentials::of(&key["AccessKey"]))
    }

    fn role(&self, name: &str) -> Account<'e> {
        let arn = format!("arn:aws:iam::{}:role/{name}", self.account.id());
        let session = json!({"RoleArn": arn, "RoleSessionName": "test"});
        let session = self.account.call("sts", "assume_role", session);
        self.account.acting_as(Credentials::of(&session["Credentials"]))
    }

    fn put(&self, who: &Account<'_>, key: &str) -> Result<Json, String> {
        who.try_call(
            "s3",
            "put_object",
            json!({"Bucket": self.bucket, "Key": key, "Body": "text"}),
        )
    }

    fn get(&self, who: &Account<'_>, key: &str) -> Result<Json, String> {
        who.try_call("s3", "get_object", json!({"Bucket": self.bucket, "Key": key}))
    }

    fn list(&self, who: &Account<'_>, prefix: Option<&str>) -> Result<Json, String> {
        let mut parameters = json!({"Bucket": self.bucket});
        if let Some(prefix) = prefix {
            parameters["Prefix"] = prefix.into();
        }
        who.try_call("s3", "list_objects_v2", parameters)
    }

    /// Requests a data key in the encryption context of a bucket.
    fn data_key(&self, who: &Account<'_>, bucket: &str) -> Result<Json, String> {
        let context = json!({"aws:s3:arn": format!("arn:aws:s3:::{bucket}")});
        let parameters = json!({"KeyId": self.key, "KeySpec": "AES_256", "EncryptionContext": context});
        who.try_call("kms", "generate_data_key", parameters)
    }
}

#[track_caller]
fn refused(what: &str, answer: Result<Json, String>) {
    match answer {
        Ok(answer) => panic!("{what} was allowed: {answer}"),
        Err(error) => assert!(error.starts_with("AccessDenied"), "{what}: {error}"),
    }
}

#[track_caller]
fn allowed(what: &str, answer: Result<Json, String>) -> Json {
    answer.unwrap_or_else(|error| panic!("{what}: {error}"))
}

#[test]
fn only_named_principals_have_access_to_data() {
    let endpoint = Endpoint::start_checking_rights();
    let deployed = Deployed::on(&endpoint);
    for key in ["incoming/a", "other/b"] {
        allowed("the root user writes", deployed.put(&deployed.account, key));
    }

    let administrator = deployed.user("administrator", &["*"]);
    refused(
        "an administrator reads",
        deployed.get(&administrator, "incoming/a"),
    );
    refused("an administrator lists", deployed.list(&administrator, None));
    refused(
        "an administrator writes",
        deployed.put(&administrator, "incoming/c"),
    );
    let object = json!({"Bucket": deployed.bucket, "Key": "incoming/a"});
    refused(
        "an administrator deletes",
        administrator.try_call("s3", "delete_object", object),
    );
    refused(
        "an administrator encrypts",
        deployed.data_key(&administrator, &deployed.bucket),
    );
    let grant = json!({"KeyId": deployed.key, "GranteePrincipal": format!("arn:aws:iam::{}:user/administrator", deployed.account.id()), "Operations": ["Decrypt"]});
    refused(
        "an administrator creates its own grant on the key",
        administrator.try_call("kms", "create_grant", grant),
    );

    let reader = deployed.role("acme-live-platform-jobs-reader");
    allowed("the reader reads its part", deployed.get(&reader, "incoming/a"));
    refused("the reader reads the rest", deployed.get(&reader, "other/b"));
    allowed(
        "the reader lists its part",
        deployed.list(&reader, Some("incoming/")),
    );
    refused("the reader lists everything", deployed.list(&reader, None));
    refused(
        "the reader lists the rest",
        deployed.list(&reader, Some("other/")),
    );
    refused(
        "the reader lists a prefix that starts the same",
        deployed.list(&reader, Some("incoming")),
    );
    refused("the reader writes", deployed.put(&reader, "incoming/c"));
    refused(
        "the reader encrypts",
        deployed.data_key(&reader, &deployed.bucket),
    );

    let writer = deployed.role("acme-live-platform-jobs-writer");
    allowed("the writer writes", deployed.put(&writer, "other/c"));
    let otherwise = json!({
        "Bucket": deployed.bucket, "Key": "other/d", "Body": "text", "ServerSideEncryption": "AES256",
    });
    refused(
        "the writer writes with a different encryption",
        writer.try_call("s3", "put_object", otherwise),
    );
    allowed("the writer lists", deployed.list(&writer, None));
    allowed(
        "the writer encrypts",
        deployed.data_key(&writer, &deployed.bucket),
    );
    refused(
        "the writer encrypts for another bucket",
        deployed.data_key(&writer, "acme-elsewhere"),
    );

    let analyst = deployed.user("analyst", &["kms:Decrypt"]);
    allowed("a reader of the zone reads", deployed.get(&analyst, "other/b"));
    refused("a reader of the zone writes", deployed.put(&analyst, "other/d"));
    let greedy = deployed.user("greedy", &["s3:GetObject", "s3:ListBucket", "kms:Decrypt"]);
    refused(
        "a user with permissions only in IAM reads",
        deployed.get(&greedy, "other/b"),
    );

    // The administrator still controls the resources: Terrace deploys as the administrator, who can remove the policy.
    deployed.write("31d");
    let terrace = Terrace::in_directory(deployed.stack.path()).account(&administrator);
    let _ = terrace.run(&["apply", "-e", "live", "--yes"]).expect(0);
    let _ = terrace
        .run(&["plan", "-e", "live", "--detailed-exitcode"])
        .expect(0);
    let key = json!({"KeyId": deployed.key, "PolicyName": "default"});
    allowed(
        "an administrator reads the key's policy",
        administrator.try_call("kms", "get_key_policy", key),
    );
    let bucket = json!({"Bucket": deployed.bucket});
    allowed(
        "an administrator deletes the policy",
        administrator.try_call("s3", "delete_bucket_policy", bucket),
    );
    allowed(
        "an administrator reads",
        deployed.get(&administrator, "incoming/a"),
    );
}
