//! All the reading: what stacks there are, and what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::TemplateStage;
use futures::{StreamExt, TryStreamExt};
use terrace_artifact::{Address, Artifact, ArtifactId, Stack, Text, Value};

use crate::backend::{Live, Wanted};
use crate::failure::{Failure, FailureKind};
use crate::ownership::{Mark, Ownership, Proof};
use crate::plan::Subject;

use super::account::Account;
use super::guards::with_guards_back;
use super::record::{Observed, Record, STACK_TAG, change_set_name, tags};
use super::status::Standing;
use super::{template, yaml};

/// How many stacks are read at once. CloudFormation allows an account a few requests a second.
const AT_ONCE: usize = 6;

impl Account {
    /// Every stack that is wanted, was delivered last time, or carries our label.
    pub(super) async fn observe(&self, wanted: &Wanted<'_>) -> Result<Vec<Live>, Failure> {
        self.identify().await?;
        let label = wanted.bundle.label();
        let asked: BTreeMap<Text, &Artifact> = wanted.artifacts().filter_map(named).collect();
        let dropped: BTreeMap<Text, &Artifact> = wanted.dropped().filter_map(named).collect();
        let names: BTreeSet<&Text> = asked.keys().chain(dropped.keys()).collect();

        let mut lives = Vec::new();
        for record in self.records(&names).await? {
            let carries_label = record.tags.get(STACK_TAG).is_some_and(|value| *value == label);
            if !names.contains(&record.name) && (!carries_label || record.nested) {
                continue;
            }
            match record.standing() {
                Standing::Gone => continue,
                // A name without resources: as good as absent where it is to be created, else there to be tidied up.
                Standing::Empty if asked.contains_key(&record.name) => continue,
                _ => lives.push(record),
            }
        }
        futures::stream::iter(lives)
            .map(|record| {
                let artifact = asked.get(&record.name).copied();
                let before = dropped.get(&record.name).copied().or_else(|| {
                    let id = &artifact?.id;
                    wanted.previous?.artifact(id)
                });
                let policy_counts = may_have_policy(artifact) || may_have_policy(before);
                let label = &label;
                async move {
                    let live = self
                        .live_with(wanted.target, label, record, artifact, before, None)
                        .await?;
                    let id = live.id.clone();
                    let notes = wanted.notes.iter().filter(|note| note.artifact == id);
                    Ok(notes.fold(live, |live, note| with_guards_back(live, note, policy_counts)))
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// The stack of this name or id, if there is one.
    pub(super) async fn describe(&self, name_or_id: &str) -> Result<Option<Record>, Failure> {
        let answer = self
            .cloudformation
            .describe_stacks()
            .stack_name(name_or_id)
            .send()
            .await;
        match answer {
            Ok(found) => Ok(found.stacks().first().map(Record::of)),
            // There is no code of its own for this.
            Err(error)
                if error.code() == Some("ValidationError")
                    && error
                        .message()
                        .is_some_and(|message| message.contains("does not exist")) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.refused(&error, "cloudformation:DescribeStacks", name_or_id)),
        }
    }

    /// The stack with its template (`known` where the caller has just deployed it) and its policy, as the engine carries
    /// it.
    pub(super) async fn live_with(
        &self,
        target: &Text,
        label: &str,
        record: Record,
        artifact: Option<&Artifact>,
        before: Option<&Artifact>,
        known: Option<Value>,
    ) -> Result<Live, Failure> {
        let stack = artifact.and_then(Artifact::stack);
        let template = match known {
            Some(template) => template,
            None => self.template_of(&record, stack, label).await?,
        };
        let policy = if may_have_policy(artifact) || may_have_policy(before) {
            self.policy_of(&record.name).await?
        } else {
            None
        };
        let known = before.and_then(Artifact::stack).or(stack);
        let mut addresses = BTreeMap::new();
        let mut holds_data = Vec::new();
        let mut says_so = false;
        for (logical_id, resource) in template::resources(&template) {
            let recorded = template::address(resource);
            says_so |= recorded.is_some();
            let member = known.and_then(|stack| stack.members.get(logical_id));
            let Some(address) = recorded.or_else(|| member.map(|member| member.address.clone())) else {
                continue;
            };
            if template::holds_data(resource) {
                holds_data.push(address.clone());
            }
            addresses.insert(logical_id.clone(), address);
        }
        let id = ArtifactId::stack(target, &record.name);
        let ownership = ownership(&record, label, before.is_some(), says_so);
        let observed = Observed {
            record,
            template,
            policy,
            addresses,
        };
        Ok(Live {
            id,
            subject: Subject {
                kind: "CloudFormation stack".into(),
                namespace: None,
                name: observed.record.name.clone(),
            },
            ownership,
            identity: observed.record.id.clone(),
            notes: Vec::new(),
            basis: observed.basis(),
            addresses: sorted(observed.addresses.values().cloned().collect()),
            holds_data: sorted(holds_data),
            needs: template::needs(&observed.template),
            value: observed.to_value(),
        })
    }

    /// All stacks of the account and region; where that may not be listed, those of the names.
    async fn records(&self, names: &BTreeSet<&Text>) -> Result<Vec<Record>, Failure> {
        match self.all_records().await {
            Err(failure) if matches!(failure.kind, FailureKind::Denied { .. }) && !names.is_empty() => {
                let names: Vec<Text> = names.iter().copied().cloned().collect();
                let found: Vec<Option<Record>> = futures::stream::iter(names)
                    .map(async |name| self.describe(&name).await)
                    .buffer_unordered(AT_ONCE)
                    .try_collect()
                    .await?;
                Ok(found.into_iter().flatten().collect())
            }
            answer => answer,
        }
    }

    async fn all_records(&self) -> Result<Vec<Record>, Failure> {
        let mut records = Vec::new();
        let mut pages = self.cloudformation.describe_stacks().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.refused(&error, "cloudformation:DescribeStacks", "*"))?;
            records.extend(page.stacks().iter().map(Record::of));
        }
        Ok(records)
    }

    /// The template of a stack. It is not asked for where the change set that was executed last is known to have had
    /// the wanted one.
    async fn template_of(
        &self,
        record: &Record,
        stack: Option<&Stack>,
        label: &str,
    ) -> Result<Value, Failure> {
        if let Some(stack) = stack {
            let name = change_set_name(&stack.template, &record.parameters, &record.tags);
            if record.was_left_by(&name) && record.tags == tags(stack, label) {
                return Ok(stack.template.clone());
            }
        }
        // What was rolled back before it ever stood has nothing in it any more.
        if matches!(record.standing(), Standing::Empty) || record.status == "ROLLBACK_COMPLETE" {
            return Ok(Value::Null);
        }
        let version = (
            record.id.clone(),
            record.updated.clone(),
            record.change_set.clone(),
        );
        let at_rest = record.standing() != Standing::Busy;
        let known = {
            let known = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&version).filter(|_| at_rest).cloned()
        };
        if let Some(template) = known {
            return Ok(template);
        }
        let answer = self
            .cloudformation
            .get_template()
            .stack_name(record.id.as_str())
            .template_stage(TemplateStage::Original)
            .send()
            .await
            .map_err(|error| self.refused(&error, "cloudformation:GetTemplate", &record.name))?;
        let body = answer.template_body().unwrap_or_default();
        let template = yaml::template(body).map_err(|reason| {
            Failure::new(
                FailureKind::Unsupported,
                format!("the template that `{}` has now cannot be read", record.name),
            )
            .server(reason)
            .hint("somebody else than terrace deployed it; put the last known template back")
        })?;
        if at_rest {
            let mut known = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(version, template.clone());
        }
        Ok(template)
    }

    async fn policy_of(&self, name: &Text) -> Result<Option<Value>, Failure> {
        let answer = self
            .cloudformation
            .get_stack_policy()
            .stack_name(name.as_str())
            .send()
            .await
            .map_err(|error| self.refused(&error, "cloudformation:GetStackPolicy", name))?;
        Ok(answer
            .stack_policy_body()
            .and_then(|body| serde_json::from_str(body).ok()))
    }
}

/// Ours is what our tag says is ours and what something else says, too, since tags are handed on and copied: the change
/// set that was executed last, the last release, or what the compiler recorded in the template. What the last release
/// delivered is ours as long as nobody has claimed it since.
fn ownership(record: &Record, label: &str, delivered: bool, says_so: bool) -> Ownership {
    let by_us = record
        .change_set
        .as_deref()
        .is_some_and(|name| name.starts_with("terrace-"));
    let (mark, proven) = match record.tags.get(STACK_TAG) {
        Some(value) if value == label => (Mark::Ours, delivered || by_us || says_so),
        Some(other) => (Mark::Other(other.clone()), false),
        None => (Mark::Absent, delivered || by_us),
    };
    Ownership::of(mark, proven.then_some(Proof::Evidence), false, None)
}

fn may_have_policy(artifact: Option<&Artifact>) -> bool {
    artifact
        .and_then(Artifact::stack)
        .is_some_and(|stack| stack.policy.is_some())
}

fn named(artifact: &Artifact) -> Option<(Text, &Artifact)> {
    Some((artifact.stack()?.name.clone(), artifact))
}

fn sorted(mut addresses: Vec<Address>) -> Vec<Address> {
    addresses.sort();
    addresses.dedup();
    addresses
}
