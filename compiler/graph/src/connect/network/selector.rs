//! Label selectors, as Kubernetes evaluates them.

use terrace_language::value::term::Term;

/// Returns whether a label selector selects an object with these labels. An empty selector selects every object.
pub fn selects(selector: &Term, labels: &Term) -> bool {
    let exact = selector.get("matchLabels").map_or(&[][..], Term::entries);
    let expressions = selector.get("matchExpressions").map_or(&[][..], Term::items);
    exact.iter().all(|(key, value)| labels.get(key) == Some(value))
        && expressions.iter().all(|expression| holds(expression, labels))
}

/// Returns whether a selector has no requirements.
pub fn selects_all(selector: &Term) -> bool {
    ["matchLabels", "matchExpressions"].iter().all(|key| {
        selector
            .get(key)
            .is_none_or(|part| part.entries().is_empty() && part.items().is_empty())
    })
}

fn holds(expression: &Term, labels: &Term) -> bool {
    let key = expression.get("key").and_then(Term::as_str).unwrap_or_default();
    let values = expression.get("values").map_or(&[][..], Term::items);
    let own = labels.get(key);
    let listed = own.is_some_and(|own| values.contains(own));
    match expression.get("operator").and_then(Term::as_str) {
        Some("In") => listed,
        Some("NotIn") => !listed,
        Some("Exists") => own.is_some(),
        Some("DoesNotExist") => own.is_none(),
        _ => false,
    }
}

/// The direction of traffic of a NetworkPolicy, from the view of the selected pods.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    /// Returns the value in `policyTypes`.
    pub(crate) fn policy_type(self) -> &'static str {
        match self {
            Direction::Ingress => "Ingress",
            Direction::Egress => "Egress",
        }
    }

    /// Returns the field with the rules.
    pub fn rules(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }

    /// Returns the field with the peers of a rule.
    pub fn peers(self) -> &'static str {
        match self {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        }
    }
}

/// Returns whether a NetworkPolicy isolates pods with these labels in this direction, so that connections without a policy are denied.
pub fn isolates(policy: &Term, direction: Direction, labels: &Term) -> bool {
    let Some(spec) = policy.get("spec") else {
        return false;
    };
    let of_direction = match spec.get("policyTypes").map(Term::items) {
        Some(types) => types
            .iter()
            .any(|word| word.as_str() == Some(direction.policy_type())),
        // Without `policyTypes`, a policy applies to ingress, and to egress if it has egress rules.
        None => direction == Direction::Ingress || spec.get("egress").is_some(),
    };
    of_direction
        && spec
            .get("podSelector")
            .is_none_or(|selector| selects(selector, labels))
}

#[cfg(test)]
mod tests {
    use super::{Direction, isolates, selects, selects_all};
    use terrace_language::value::term::Term;
    use terrace_syntax::diagnostic::Diagnostics;
    use terrace_syntax::source::Files;

    fn term(text: &str) -> Term {
        let (mut files, mut diagnostics) = (Files::default(), Diagnostics::new());
        let nodes = terrace_syntax::yaml::read("a.yaml", text.as_bytes(), &mut files, &mut diagnostics);
        Term::from_value(nodes[0].to_value())
    }

    #[test]
    fn selectors_evaluate_as_kubernetes_does() {
        let labels = term(r#"{"app": "web", "tier": "front"}"#);
        for (selector, wanted) in [
            (r#"{}"#, true),
            (r#"{"matchLabels": {"app": "web"}}"#, true),
            (r#"{"matchLabels": {"app": "db"}}"#, false),
            (
                r#"{"matchExpressions": [{"key": "tier", "operator": "In", "values": ["front", "back"]}]}"#,
                true,
            ),
            (
                r#"{"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["front"]}]}"#,
                false,
            ),
            (
                r#"{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}"#,
                true,
            ),
            (
                r#"{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}"#,
                false,
            ),
            (
                r#"{"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}"#,
                true,
            ),
        ] {
            assert_eq!(selects(&term(selector), &labels), wanted, "{selector}");
        }
        assert!(selects_all(&term(r#"{"matchLabels": {}}"#)));
        assert!(!selects_all(&term(
            r#"{"matchExpressions": [{"key": "a", "operator": "Exists"}]}"#
        )));
    }

    #[test]
    fn a_policy_without_types_isolates_ingress_and_egress_only_with_rules() {
        let labels = term(r#"{"app": "web"}"#);
        let plain = term(r#"{"spec": {"podSelector": {}}}"#);
        assert!(isolates(&plain, Direction::Ingress, &labels));
        assert!(!isolates(&plain, Direction::Egress, &labels));
        let with_rules = term(r#"{"spec": {"podSelector": {}, "egress": []}}"#);
        assert!(isolates(&with_rules, Direction::Egress, &labels));
        let typed =
            term(r#"{"spec": {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"]}}"#);
        assert!(!isolates(&typed, Direction::Egress, &labels));
    }
}
