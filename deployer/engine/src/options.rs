//! The options of a plan and of an apply.

use std::collections::BTreeSet;
use std::time::Duration;

use terrace_artifact::{Address, Text};
use terrace_deployer_model::backend::PreviewOptions;
use terrace_deployer_model::cancel::Cancel;

/// The options of a plan.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// The requests that previews may send.
    pub preview: PreviewOptions,
    /// Tenants, components or addresses (`finance`, `finance/airflow`, `finance/airflow/scheduler`) to which the plan
    /// is limited, with their dependencies. Empty for everything.
    pub only: Vec<Text>,
    /// Addresses, or `TENANT/COMPONENT`, of existing foreign artifacts that Terrace manages from now on.
    pub adopt: Vec<Text>,
    /// Addresses whose deletion the user approves. An adopted artifact is deleted only with approval, and retained
    /// otherwise.
    pub approved: BTreeSet<Address>,
    /// Whether the user accepts that the environment moves here from another directory.
    pub accept_origin: bool,
}

impl PlanOptions {
    /// Plans everything, with dry runs, without taking over fields.
    pub fn everything() -> PlanOptions {
        PlanOptions {
            preview: PreviewOptions {
                dry_run: true,
                change_set: false,
                take_over: false,
            },
            only: Vec::new(),
            adopt: Vec::new(),
            approved: BTreeSet::new(),
            accept_origin: false,
        }
    }
}

/// The options of an apply.
#[derive(Clone, Debug, Default)]
pub struct ApplyOptions {
    /// Addresses whose loss the user approved.
    pub approved: BTreeSet<Address>,
    /// The maximum time until one artifact is ready. If absent, ten minutes for an object and an hour for a
    /// CloudFormation stack.
    pub timeout: Option<Duration>,
    /// A request to stop the apply.
    pub cancel: Cancel,
}
