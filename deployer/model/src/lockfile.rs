//! `terrace.lock`: the places where each environment of a stack is deployed, committed with the stack's documents.
//!
//! The claims in the live systems record the same, and overrule this file. The file is for the case that claims cannot
//! cover: no document names any of the places where an environment is deployed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terrace_artifact::{Text, Value, to_yaml};

use crate::claim::{Deployment, StackOrigin};

/// The file's name, in the stack's directory.
pub const LOCKFILE: &str = "terrace.lock";

const VERSION: u32 = 1;

const HEAD: &str = "\
# This file records where the environments of this stack are deployed. `terrace apply` updates it: commit it.
# To resolve a merge conflict, keep either side; the next apply corrects the file.
";

/// The contents of `terrace.lock`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lockfile {
    version: u32,
    /// By the environment's name.
    #[serde(default)]
    pub environments: BTreeMap<Text, LockedEnvironment>,
}

/// One environment after its last apply from this directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LockedEnvironment {
    /// The platform's name.
    pub platform: Text,
    /// The repository and directory that deployed it, if the repository has a remote. It tells a fork or a copy that this
    /// record belongs to another directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Text>,
    /// The places that it is deployed to.
    #[serde(flatten)]
    pub deployment: Deployment,
}

impl Default for Lockfile {
    fn default() -> Lockfile {
        Lockfile {
            version: VERSION,
            environments: BTreeMap::new(),
        }
    }
}

impl Lockfile {
    /// Parses the file. An error is a message in lower case without a full stop.
    pub fn parse(text: &str) -> Result<Lockfile, String> {
        if let Some(at) = text.lines().position(|line| line.starts_with("<<<<<<<")) {
            return Err(format!("line {} starts an unresolved merge conflict", at + 1));
        }
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = yaml_serde::from_str(text).map_err(|error| error.to_string())?;
        if version != VERSION {
            return Err(format!(
                "its version is {version}, and this version of terrace reads version {VERSION}"
            ));
        }
        yaml_serde::from_str(text).map_err(|error| error.to_string())
    }

    /// Writes the file's text. Equal contents give equal text.
    pub fn to_text(&self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        format!("{HEAD}{}", to_yaml(&Value::from_json(&json)))
    }

    /// Records where an environment is deployed now. Other entries do not change.
    pub fn record(
        &mut self,
        environment: &Text,
        platform: &Text,
        origin: &StackOrigin,
        deployment: &Deployment,
    ) {
        let recorded = LockedEnvironment {
            platform: platform.clone(),
            origin: origin.repository.as_ref().map(|_| origin.to_string().into()),
            deployment: deployment.clone(),
        };
        self.environments.insert(environment.clone(), recorded);
    }
}

impl LockedEnvironment {
    /// Returns whether this record may belong to the directory of this origin.
    pub fn is_of(&self, origin: &StackOrigin) -> bool {
        match (&self.origin, &origin.repository) {
            (Some(recorded), Some(_)) => recorded.eq_ignore_ascii_case(&origin.to_string()),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::Place;

    fn lockfile() -> Lockfile {
        let place = |kind: &str, id: &str, shown: &str, components: &[(&str, u32)]| Place {
            kind: kind.into(),
            id: id.into(),
            shown: shown.into(),
            context: (kind == "kubernetes").then(|| "acme-prod".into()),
            profile: None,
            components: components
                .iter()
                .map(|(name, count)| ((*name).into(), *count))
                .collect(),
        };
        let targets = [
            (
                "aws",
                place(
                    "aws",
                    "111122223333/eu-west-1",
                    "account 111122223333 in eu-west-1",
                    &[("lake", 2)],
                ),
            ),
            (
                "kubernetes",
                place(
                    "kubernetes",
                    "0b9c",
                    "cluster acme-prod",
                    &[("airflow", 12), ("no", 1)],
                ),
            ),
        ];
        let deployment = Deployment {
            store: "kubernetes".into(),
            targets: targets
                .into_iter()
                .map(|(name, place)| (name.into(), place))
                .collect(),
        };
        let mut lockfile = Lockfile::default();
        let origin = StackOrigin::in_repository("github.com/acme/platform", "stacks/acme");
        lockfile.record(&"production".into(), &"acme".into(), &origin, &deployment);
        lockfile
    }

    #[test]
    fn parses_what_it_writes() {
        let written = lockfile();
        let text = written.to_text();
        expect_test::expect![[r#"
            # This file records where the environments of this stack are deployed. `terrace apply` updates it: commit it.
            # To resolve a merge conflict, keep either side; the next apply corrects the file.
            version: 1
            environments:
              production:
                platform: acme
                origin: github.com/acme/platform//stacks/acme
                store: kubernetes
                targets:
                  aws:
                    kind: aws
                    id: 111122223333/eu-west-1
                    shown: account 111122223333 in eu-west-1
                    components:
                      lake: 2
                  kubernetes:
                    kind: kubernetes
                    id: '0b9c'
                    shown: cluster acme-prod
                    context: acme-prod
                    components:
                      airflow: 12
                      'no': 1
        "#]]
        .assert_eq(&text);
        assert_eq!(Lockfile::parse(&text).unwrap(), written);
        assert_eq!(Lockfile::parse(&text).unwrap().to_text(), text);
    }

    #[test]
    fn reports_why_a_file_is_invalid() {
        let conflict = format!("version: 1\n{}\nenvironments: {{}}\n", "<<<<<<< HEAD");
        for (text, why) in [
            (conflict.as_str(), "line 2 starts an unresolved merge conflict"),
            (
                "version: 7\nnews: true\n",
                "its version is 7, and this version of terrace reads version 1",
            ),
            ("environments: {}\n", "missing field `version`"),
            (
                "version: 1\nenvironments: {a: {platform: b}}\n",
                "missing field `store`",
            ),
        ] {
            let found = Lockfile::parse(text).unwrap_err();
            assert!(found.contains(why), "{found}");
        }
    }

    #[test]
    fn a_record_of_another_repository_belongs_to_another_directory() {
        let lockfile = lockfile();
        let recorded = &lockfile.environments["production"];
        assert!(recorded.is_of(&StackOrigin::in_repository(
            "github.com/Acme/platform",
            "stacks/acme"
        )));
        assert!(!recorded.is_of(&StackOrigin::in_repository(
            "github.com/ben/platform",
            "stacks/acme"
        )));
        assert!(recorded.is_of(&StackOrigin::default()));
    }
}
