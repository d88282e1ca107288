//! The recorded places of an environment, for the commands that work on places it no longer names.

use std::collections::BTreeMap;

use terrace_artifact::{Bundle, Text};
use terrace_deployer_model::claim::{Deployment, Place};
use terrace_deployer_model::error::Error;
use terrace_deployer_model::failure::{Failure, FailureKind};

use super::examine::LedgerSays;
use crate::ledger::History;
use crate::targets::Targets;

/// Merges all records of one environment: the claims first, then `terrace.lock`, then the ledger.
pub(crate) async fn recorded(
    targets: Option<&Targets>,
    locked: Option<&Deployment>,
) -> Result<Deployment, Error> {
    let mut records: Vec<Deployment> = Vec::new();
    if let Some(targets) = targets {
        let claims = &targets.claims;
        records.extend(claims.latest().map(|(_, claim)| claim.deployment.clone()));
        let elsewhere = targets.elsewhere(claims).await;
        records.extend(elsewhere.claims.iter().map(|claim| claim.deployment.clone()));
    }
    records.extend(locked.cloned());
    if let Some(targets) = targets {
        let history = History::read_end(&targets.home).await?;
        let bundle = history.standing(&targets.home).await?;
        records.extend(LedgerSays::of(&history, bundle.as_ref()).map(LedgerSays::deployment));
    }
    let mut records = records.into_iter();
    let mut all = records.next().unwrap_or_default();
    for record in records {
        for (name, place) in record.targets {
            if !all.has(&place) {
                let name = free(&all.targets, name);
                all.targets.insert(name, place);
            }
        }
    }
    Ok(all)
}

/// Returns `name`, with a number appended if another place already has this name. Records of different ages can use one name
/// for two places.
fn free(taken: &BTreeMap<Text, Place>, name: Text) -> Text {
    let mut free = name.clone();
    let mut count = 1;
    while taken.contains_key(&free) {
        count += 1;
        free = format!("{name}-{count}").into();
    }
    free
}

/// Finds the recorded place that an argument names.
pub(crate) fn meant<'a>(
    recorded: &'a Deployment,
    environment: &str,
    text: &str,
) -> Result<(&'a Text, &'a Place), Failure> {
    let mut places = recorded
        .targets
        .iter()
        .filter(|(_, place)| place.is_meant_by(text));
    match (places.next(), places.next()) {
        (Some(place), None) => Ok(place),
        (Some((_, first)), Some((_, second))) => {
            let message = format!("`{text}` matches more than one place of environment `{environment}`");
            Err(Failure::new(FailureKind::Rejected, message)
                .hint(format!("write `{}` or `{}`", first.id, second.id)))
        }
        (None, _) => {
            let message = format!("environment `{environment}` has no recorded place `{text}`");
            let known = recorded
                .targets
                .values()
                .map(|place| format!("`{}` ({place})", place.id));
            let known: Vec<String> = known.collect();
            Err(
                Failure::new(FailureKind::Rejected, message).hint(if known.is_empty() {
                    "check the name of the environment: no place is recorded for it".to_owned()
                } else {
                    format!("name a recorded place: {}", known.join(", "))
                }),
            )
        }
    }
}

/// Creates an empty bundle whose targets are these recorded places.
pub(crate) fn leading_to<'a>(
    bundle: &Bundle,
    places: impl IntoIterator<Item = (&'a Text, &'a Place)>,
) -> Result<Bundle, Failure> {
    let mut leading = Bundle {
        targets: BTreeMap::new(),
        artifacts: Vec::new(),
        assets: BTreeMap::new(),
        ..bundle.clone()
    };
    leading.environment.places.clear();
    for (name, place) in places {
        let target = place.target().ok_or_else(|| {
            Failure::new(
                FailureKind::Unsupported,
                format!("cannot connect to {place}: its record has no connection settings"),
            )
            .hint("to delete its resources, name the place in the environment again")
        })?;
        leading.targets.insert(name.clone(), target);
    }
    Ok(leading)
}
