use super::*;

/// Returns the reported values of a document, with the reason for each.
fn reported(text: &str) -> Vec<(String, String)> {
    let (mut files, mut diagnostics) = (Files::default(), Diagnostics::new());
    let nodes = crate::yaml::read("a.yaml", text.as_bytes(), &mut files, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{text}");
    nodes
        .iter()
        .for_each(|node| literal_secrets(node, &files, &mut diagnostics));
    let label = |diagnostic: &Diagnostic| {
        let label = diagnostic.primary.clone().expect("it has a place");
        (files.text(label.span).to_owned(), label.text)
    };
    diagnostics.iter().map(label).collect()
}

#[track_caller]
fn tells(text: &str, expected: &[&str]) {
    let found = reported(text);
    let values: Vec<&str> = found.iter().map(|(value, _)| value.as_str()).collect();
    assert_eq!(values, expected, "{text}\n{found:?}");
}

#[test]
fn what_a_secret_holds_is_a_secret_whatever_it_is_called() {
    tells(
        "s: {type: v1/Secret, stringData: {cert: hello world, value: x}, data: {a: aGk=}}",
        &["hello world", "x", "aGk="],
    );
    tells("{apiVersion: v1, kind: Secret, stringData: {a: b}}", &["b"]);
    tells(
        "s: {type: v1/Secret, stringData: {a: \"{{ inputs.a }}\", b: ''}}",
        &[],
    );
    tells("s: {type: v1/ConfigMap, data: {a: hello, value: x}}", &[]);
}

#[test]
fn certificates_and_public_keys_are_public() {
    let certificate = "-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n";
    tells(
        &format!("s: {{type: v1/Secret, stringData: {{tls.crt: \"{certificate}\"}}}}"),
        &[],
    );
    tells(
        "s: {type: v1/Secret, data: {ca.crt: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUIKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=}}",
        &[],
    );
    let key = "-----BEGIN EC PRIVATE KEY-----\\nMIIB\\n-----END EC PRIVATE KEY-----\\n";
    let both = format!("\"{certificate}{key}\"");
    tells(
        &format!("s: {{type: v1/Secret, stringData: {{tls.crt: {both}}}}}"),
        &[&both],
    );
}

#[test]
fn sealed_and_external_secrets_hold_none() {
    tells(
        "s: {type: bitnami.com/v1alpha1/SealedSecret, spec: {encryptedData: {password: AgBy3i4OJSWKu1S}}}",
        &[],
    );
    tells(
        "s: {type: external-secrets.io/v1/ExternalSecret, spec: {data: [{secretKey: DB_PASSWORD, remoteRef: {key: prod/db, property: password}}]}}",
        &[],
    );
}

#[test]
fn variables_arguments_and_pairs_give_values_to_names() {
    tells(
        "env: [{name: DB_PASSWORD, value: hunter2}, {name: A, value: b}]",
        &["hunter2"],
    );
    tells("Environment: [{Name: DB_PASSWORD, Value: hunter2}]", &["hunter2"]);
    tells("args: [--db-pass, hunter2, --verbose]", &["hunter2"]);
    tells("args: [--password=hunter2]", &["--password=hunter2"]);
}

#[test]
fn the_default_of_an_input_is_given_to_it() {
    tells(
        "inputs: {db_password: {type: string, default: hunter2}}",
        &["hunter2"],
    );
    tells(
        "inputs: {db_password: {type: string, examples: [hunter2], description: the password of the database}}",
        &["hunter2"],
    );
    tells(
        "inputs: {token_secret: {type: string, default: ray-auth-token}}",
        &[],
    );
}

#[test]
fn raw_text_and_numbers_are_secrets_as_well() {
    tells("MasterUserPassword: !raw hunter2hunter2", &["hunter2hunter2"]);
    tells("MasterUserPassword: 12345678", &["12345678"]);
    tells(
        "MasterUserPassword: !raw \"{{resolve:ssm-secure:/db/password}}\"",
        &[],
    );
    tells("password: \"{{ secret('db').password }}\"", &[]);
}

#[test]
fn what_is_marked_public_is_no_secret() {
    tells("password: !public hunter2", &[]);
    tells(
        "a: &x !public hunter2-2\nb: !public &y hunter3\npassword: *x\ndb_pass: *y",
        &[],
    );
    tells("a: &x hunter2\npassword: *x", &["*x"]);
    tells(
        "s: {type: v1/Secret, stringData: {a: !public hello, b: hello}}",
        &["hello"],
    );
    tells("description: this is !public\npassword: hunter2", &["hunter2"]);
}

#[test]
fn reports_the_reason_without_the_value() {
    for (text, reason) in [
        (
            "db_password: hunter2",
            "the name `db_password` indicates a secret",
        ),
        (
            "a: \"postgresql://u:hunter2@h/db\"",
            "has the form of a URL with a password",
        ),
        ("a: \"Server=h;Pwd=hunter2;\"", "assigns a secret to `Pwd`"),
    ] {
        assert_eq!(reported(text)[0].1, reason);
    }
}
