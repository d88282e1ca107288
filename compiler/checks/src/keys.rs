//! Checks access to KMS keys. A service that publishes to an encrypted topic or queue needs permission to use its key. Without it, AWS drops
//! the messages without an error.

use terrace_artifact::{Segment, Text};
use terrace_language::aws::encryption;
use terrace_language::aws::iam::{allows, lets_encrypt, overlap, statements, values};
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// Types that services send to with their own identity, so that the service itself needs access to the key.
const SENT_TO: [&str; 3] = ["AWS::SNS::Topic", "AWS::SQS::Queue", "AWS::Logs::LogGroup"];

/// The input of the module `kms` that allows a service to use the key.
const INPUTS: [(&str, &str); 4] = [
    ("cloudwatch.amazonaws.com", "alarms: true"),
    ("events.amazonaws.com", "events: true"),
    ("budgets.amazonaws.com", "budgets: true"),
    ("s3.amazonaws.com", "notifications: true"),
];

pub(super) fn alarm(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for key in ["AlarmActions", "OKActions", "InsufficientDataActions"] {
        for (at, action) in items(subject.resource.body.get(key)) {
            let path = [Segment::Key(key.into()), Segment::Index(at)];
            sends(subject, "cloudwatch.amazonaws.com", action, &path, findings);
        }
    }
}

pub(super) fn rule(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    for (at, target) in items(subject.resource.body.get("Targets")) {
        for below in [&["Arn"][..], &["DeadLetterConfig", "Arn"]] {
            let Some(to) = target.at(below) else { continue };
            let keys = below.iter().map(|key| Segment::Key((*key).into()));
            let path: Vec<Segment> = [Segment::Key("Targets".into()), Segment::Index(at)]
                .into_iter()
                .chain(keys)
                .collect();
            sends(subject, "events.amazonaws.com", to, &path, findings);
        }
    }
}

/// Checks the services that the policy of a topic or queue allows: they send to it.
pub(super) fn policy(subject: &Subject<'_>, key: &str, findings: &mut Vec<Finding>) {
    let statements = subject.body.at(&["PolicyDocument", "Statement"]);
    for (_, statement) in items(statements) {
        if !allows(statement) {
            continue;
        }
        let services = statement.at(&["Principal", "Service"]);
        for service in values(services).iter().filter_map(Term::as_str) {
            for (at, to) in items(subject.resource.body.get(key)) {
                let path = [Segment::Key(key.into()), Segment::Index(at)];
                sends(subject, service, to, &path, findings);
            }
        }
    }
}

pub(super) fn logs(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let path = [Segment::Key("KmsKeyId".into())];
    held(
        subject,
        "logs",
        subject.resource,
        "the log group cannot be created",
        &path,
        findings,
    );
}

/// Checks a service that sends to the target of a reference.
fn sends(subject: &Subject<'_>, service: &str, to: &Term, path: &[Segment], findings: &mut Vec<Finding>) {
    let Term::Reference(reference) = to else { return };
    if let Some(to) = subject.graph.follow(subject.resource.instance, reference) {
        let to = &subject.graph.resources[to];
        let consequence = "AWS drops the messages of this service";
        held(subject, service, to, consequence, path, findings);
    }
}

/// Reports a key of a resource that a service cannot use.
fn held(
    subject: &Subject<'_>,
    service: &str,
    of: &Resource,
    consequence: &str,
    path: &[Segment],
    findings: &mut Vec<Finding>,
) {
    let type_name = of.kind.cloudformation().unwrap_or_default();
    if !SENT_TO.contains(&type_name) {
        return;
    }
    let named = match service {
        "logs" => "CloudWatch Logs".to_owned(),
        _ => format!("`{service}`"),
    };
    let finding =
        |message: String| Finding::new(Code::KeyOutOfReach, &[], message).below(path.iter().cloned());
    let key = match encryption::named_key(of) {
        Some(Term::Reference(reference)) => subject.graph.follow(of.instance, reference),
        Some(Term::String(name)) if name.starts_with("alias/aws/") => {
            let message = format!(
                "{named} cannot use `{name}`, which encrypts `{}`: {consequence}",
                of.address
            );
            let help = "use a customer managed key with a policy that allows the service";
            findings.push(finding(message).help(help));
            return;
        }
        _ => return,
    };
    let Some(key) =
        key.filter(|at| subject.graph.resources[*at].kind.cloudformation() == Some("AWS::KMS::Key"))
    else {
        return;
    };
    let address = &subject.graph.resources[key].address;
    let mut unmet_condition = None;
    for (_, statement) in items(subject.lowered(key).at(&["KeyPolicy", "Statement"])) {
        if lets_encrypt(statement, service) {
            match unmet(statement, service, of) {
                None => return,
                Some(condition) => unmet_condition = Some(condition),
            }
        }
    }
    findings.push(match unmet_condition {
        Some(condition) if service == "logs" => finding(format!(
            "the policy of `{address}`, which encrypts `{}`, allows {named} only for other log groups (`{condition}`): {consequence}",
            of.address
        ))
        .help("include the name of the log group in the pattern of the condition; for the module `kms`, set the input `log_groups`"),
        Some(condition) => finding(format!(
            "the policy of `{address}`, which encrypts `{}`, requires `{condition}`, but {named} does not send it: {consequence}",
            of.address
        ))
        .help(format!("remove `{condition}` from the conditions")),
        None => finding(format!(
            "the policy of `{address}` does not allow {named} to use the key, which encrypts `{}`: {consequence}",
            of.address
        ))
        .help(advice(subject, key, service)),
    });
}

/// Returns the condition of a statement that a service cannot meet for a resource. EventBridge sends neither the source account nor the ARN
/// of the rule. CloudWatch Logs sends the name of the log group.
fn unmet(statement: &Term, service: &str, of: &Resource) -> Option<Text> {
    if service == "logs" {
        let name = of.body.get("LogGroupName").and_then(Term::as_str)?;
        let (key, patterns) = condition_on(statement, "kms:encryptioncontext:aws:logs:arn")?;
        let fits = |pattern: &Term| {
            let pattern = text_of(pattern);
            let group = pattern.rsplit_once(":log-group:").map(|(_, group)| group);
            group.is_none_or(|group| glob(group, name))
        };
        return (!values(Some(patterns)).iter().any(fits)).then(|| key.clone());
    }
    if service != "events.amazonaws.com" {
        return None;
    }
    let operators = statement.get("Condition").map_or(&[][..], Term::entries).iter();
    let mut keys = operators.flat_map(|(_, keys)| keys.entries()).map(|(key, _)| key);
    keys.find(|key| ["aws:sourceaccount", "aws:sourcearn"].contains(&key.to_lowercase().as_str()))
        .cloned()
}

/// Returns the value of a key in the conditions of a statement, for any operator.
fn condition_on<'t>(statement: &'t Term, wanted: &str) -> Option<(&'t Text, &'t Term)> {
    let operators = statement.get("Condition").map_or(&[][..], Term::entries).iter();
    let mut keys = operators.flat_map(|(_, keys)| keys.entries());
    let (key, value) = keys.find(|(key, _)| key.to_lowercase() == wanted)?;
    Some((key, value))
}

/// Returns the string of a value or of its `Fn::Sub`.
fn text_of(term: &Term) -> &str {
    let text = term.get("Fn::Sub").unwrap_or(term);
    text.as_str().unwrap_or("*")
}

/// Returns whether a string matches a pattern of IAM, in which `*` matches any string. The text after the name in an ARN counts as
/// part of the name.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|after| {
            (0..=after.len()).any(|at| after.get(at..).is_some_and(|tail| glob(rest, tail)))
        }),
    }
}

/// Reports permissions on a key that its policy does not allow. The policy must allow the role, or the account, so that IAM decides.
pub(super) fn rights(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let body = &subject.resource.body;
    let instance = subject.resource.instance;
    let is_role = subject.resource.kind.cloudformation() == Some("AWS::IAM::Role");
    let roles: Vec<&Resource> = if is_role {
        vec![subject.resource]
    } else {
        let roles = values(body.get("Roles")).iter();
        let found = roles.filter_map(|role| match role {
            Term::Reference(role) => subject.graph.follow(instance, role),
            _ => None,
        });
        found.map(|at| &subject.graph.resources[at]).collect()
    };
    if roles.is_empty() {
        return;
    }
    let inline = body.get("Policies").map_or(&[][..], Term::items).iter();
    let documents = inline
        .chain([body])
        .filter_map(|policy| policy.get("PolicyDocument"));
    let mut reported = Vec::new();
    for statement in documents.flat_map(|document| statements(Some(document))) {
        for resource in values(statement.get("Resource")) {
            let key = match resource {
                Term::Reference(reference) => subject.graph.follow(instance, reference),
                _ => None,
            };
            let Some(key) = key.filter(|key| !reported.contains(key)) else {
                continue;
            };
            let refused = roles
                .iter()
                .find(|role| !key_policy_allows(subject, &subject.graph.resources[key], statement, role));
            if let Some(role) = refused {
                reported.push(key);
                let key = &subject.graph.resources[key].address;
                let message = format!(
                    "`{}` cannot use `{key}`: the policy of the key allows neither the role nor the account",
                    role.address
                );
                findings.push(Finding::new(Code::KeyOutOfReach, &[], message).help(format!(
                    "allow the account, `{{{{ arn('iam', 'root') }}}}`, so that IAM policies can allow the use of the key; or set `granted_only: true` on `{}`, which allows the roles that have grants",
                    key.resource
                )));
            }
        }
    }
}

/// Returns whether the policy of a key allows a role at least one action of an IAM statement. True for a resource that is not a key with its
/// own policy.
fn key_policy_allows(subject: &Subject<'_>, key: &Resource, statement: &Term, role: &Resource) -> bool {
    let of_key = key.kind.cloudformation() == Some("AWS::KMS::Key") && !key.granted_only;
    let Some(policy) = key.body.get("KeyPolicy").filter(|_| of_key) else {
        return true;
    };
    let is_named = |principal: &Term| match principal {
        Term::Reference(reference) => subject
            .graph
            .follow(key.instance, reference)
            .is_some_and(|at| subject.graph.resources[at].address == role.address),
        Term::Concat(parts) => parts
            .last()
            .and_then(Term::as_str)
            .is_some_and(|end| stands_for(end, role)),
        other => other.as_str().is_none_or(|name| stands_for(name, role)),
    };
    let wanted = || values(statement.get("Action")).iter().filter_map(Term::as_str);
    statements(Some(policy)).iter().any(|of_key| {
        let principal = of_key.get("Principal");
        let named = values(principal.and_then(|principal| principal.get("AWS")));
        let mut allowed = values(of_key.get("Action")).iter().filter_map(Term::as_str);
        allows(of_key)
            && (principal.and_then(Term::as_str) == Some("*") || named.iter().any(is_named))
            && allowed.any(|allowed| wanted().any(|wanted| overlap(allowed, wanted)))
    })
}

/// Returns whether a principal is the account, all principals, or this role by its name.
fn stands_for(principal: &str, role: &Resource) -> bool {
    let of_account = principal.len() == 12 && principal.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = |name: &Term| {
        name.as_str()
            .is_none_or(|name| principal.rsplit('/').next() == Some(name))
    };
    principal == "*"
        || principal.ends_with(":root")
        || of_account
        || role.body.get("RoleName").is_some_and(is_name)
}

fn advice(subject: &Subject<'_>, key: usize, service: &str) -> String {
    let resource = &subject.graph.resources[key];
    let instance = &subject.graph.instances[resource.instance];
    let input = INPUTS.iter().find(|(name, _)| *name == service);
    match input {
        Some((_, input)) if instance.module.as_deref() == Some("kms") => {
            format!(
                "set the input `{input}` in the component `{}`",
                instance.component
            )
        }
        _ => format!(
            "allow `{}` to decrypt and to generate data keys in the policy of the key",
            if service == "logs" {
                "logs.REGION.amazonaws.com"
            } else {
                service
            }
        ),
    }
}

fn items(list: Option<&Term>) -> impl Iterator<Item = (usize, &Term)> {
    list.map_or(&[][..], Term::items).iter().enumerate()
}
