//! What each status of a CloudFormation stack means for us.

/// What can be done with a stack of some status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It is there, and can be updated.
    Steady,
    /// Something is being done with it.
    Busy,
    /// It was named for a change set that nobody executed: there is nothing in it.
    Empty,
    /// It was never finished, or is half deleted: all that can be done is to delete it.
    Ruined,
    /// It is deleted.
    Gone,
    /// It needs a decision that is not ours.
    Stuck,
}

/// What a status means.
pub(super) fn standing(status: &str) -> Standing {
    match status {
        "CREATE_COMPLETE"
        | "UPDATE_COMPLETE"
        | "UPDATE_ROLLBACK_COMPLETE"
        | "IMPORT_COMPLETE"
        | "IMPORT_ROLLBACK_COMPLETE" => Standing::Steady,
        "REVIEW_IN_PROGRESS" => Standing::Empty,
        "DELETE_COMPLETE" | "" => Standing::Gone,
        "ROLLBACK_COMPLETE" | "CREATE_FAILED" | "ROLLBACK_FAILED" | "DELETE_FAILED" => Standing::Ruined,
        status if status.ends_with("_IN_PROGRESS") => Standing::Busy,
        _ => Standing::Stuck,
    }
}

/// The command that gets a stuck stack out of its status, and what to know about it.
pub(super) fn way_out(status: &str, name: &str, region: &str) -> String {
    let command = |verb: &str| format!("aws cloudformation {verb} --stack-name {name} --region {region}");
    match status {
        "UPDATE_ROLLBACK_FAILED" => format!(
            "mend what stopped the rollback (the stack's events say), then run\n{}\nand then this again",
            command("continue-update-rollback")
        ),
        "UPDATE_FAILED" => format!(
            "go back to the last good state with\n{}",
            command("rollback-stack")
        ),
        _ => format!("see what happened with\n{}", command("describe-stack-events")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_that_aws_has_means_something() {
        use aws_sdk_cloudformation::types::StackStatus;
        let show = |wanted: Standing| {
            let all = StackStatus::values().iter();
            let of: Vec<&str> = all.copied().filter(|s| standing(s) == wanted).collect();
            of.join(" ")
        };
        assert_eq!(
            show(Standing::Steady),
            "CREATE_COMPLETE IMPORT_COMPLETE IMPORT_ROLLBACK_COMPLETE UPDATE_COMPLETE UPDATE_ROLLBACK_COMPLETE"
        );
        assert_eq!(show(Standing::Empty), "REVIEW_IN_PROGRESS");
        assert_eq!(show(Standing::Gone), "DELETE_COMPLETE");
        assert_eq!(
            show(Standing::Ruined),
            "CREATE_FAILED DELETE_FAILED ROLLBACK_COMPLETE ROLLBACK_FAILED"
        );
        assert_eq!(
            show(Standing::Stuck),
            "IMPORT_ROLLBACK_FAILED UPDATE_FAILED UPDATE_ROLLBACK_FAILED"
        );
        let busy = show(Standing::Busy);
        assert!(
            busy.split(' ').all(|status| status.ends_with("_IN_PROGRESS")),
            "{busy}"
        );
    }
}
