//! The meaning of each status of a CloudFormation stack.

/// The operations that the status of a stack allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StackState {
    /// The stack exists and can be updated.
    Steady,
    /// An operation is running.
    Busy,
    /// The stack has only a change set that was not executed. It contains no resources.
    Empty,
    /// The creation or deletion of the stack failed. It can only be deleted.
    Ruined,
    /// The stack is deleted.
    Gone,
    /// The user must bring the stack into a stable status.
    Stuck,
}

/// Returns the operations that a status allows.
pub(super) fn state_of_status(status: &str) -> StackState {
    match status {
        "CREATE_COMPLETE"
        | "UPDATE_COMPLETE"
        | "UPDATE_ROLLBACK_COMPLETE"
        | "IMPORT_COMPLETE"
        | "IMPORT_ROLLBACK_COMPLETE" => StackState::Steady,
        "REVIEW_IN_PROGRESS" => StackState::Empty,
        "DELETE_COMPLETE" | "" => StackState::Gone,
        "ROLLBACK_COMPLETE" | "CREATE_FAILED" | "ROLLBACK_FAILED" | "DELETE_FAILED" => StackState::Ruined,
        status if status.ends_with("_IN_PROGRESS") => StackState::Busy,
        _ => StackState::Stuck,
    }
}

/// Returns help with the command that brings a stack out of this status.
pub(super) fn way_out(status: &str, name: &str, region: &str) -> String {
    let command = |verb: &str| format!("aws cloudformation {verb} --stack-name {name} --region {region}");
    match status {
        "UPDATE_ROLLBACK_FAILED" => format!(
            "fix the cause of the failed rollback (see the events of the stack), then run\n{}\nand run this command again",
            command("continue-update-rollback")
        ),
        "UPDATE_FAILED" => format!(
            "roll back to the last stable state:\n{}",
            command("rollback-stack")
        ),
        _ => format!(
            "find the cause in the events of the stack:\n{}",
            command("describe-stack-events")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_every_status_of_the_sdk() {
        use aws_sdk_cloudformation::types::StackStatus;
        let show = |expected: StackState| {
            let all = StackStatus::values().iter();
            let matching: Vec<&str> = all
                .copied()
                .filter(|status| state_of_status(status) == expected)
                .collect();
            matching.join(" ")
        };
        assert_eq!(
            show(StackState::Steady),
            "CREATE_COMPLETE IMPORT_COMPLETE IMPORT_ROLLBACK_COMPLETE UPDATE_COMPLETE UPDATE_ROLLBACK_COMPLETE"
        );
        assert_eq!(show(StackState::Empty), "REVIEW_IN_PROGRESS");
        assert_eq!(show(StackState::Gone), "DELETE_COMPLETE");
        assert_eq!(
            show(StackState::Ruined),
            "CREATE_FAILED DELETE_FAILED ROLLBACK_COMPLETE ROLLBACK_FAILED"
        );
        assert_eq!(
            show(StackState::Stuck),
            "IMPORT_ROLLBACK_FAILED UPDATE_FAILED UPDATE_ROLLBACK_FAILED"
        );
        let busy = show(StackState::Busy);
        assert!(
            busy.split(' ').all(|status| status.ends_with("_IN_PROGRESS")),
            "{busy}"
        );
    }
}
