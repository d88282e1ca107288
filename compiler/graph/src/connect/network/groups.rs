//! Converts connections between security groups to a separate rule on each side.

use terrace_artifact::Address;
use terrace_language::expression::words::slug;
use terrace_language::resource::{Resource, ResourceKind};
use terrace_language::value::term::{Reference, Term};
use terrace_syntax::diagnostic::Diagnostics;

use crate::connect::Graph;
use crate::expand::DeclaredEdge;

/// Reports security groups in different accounts or regions. Returns whether they are in the same one.
pub(in crate::connect) fn in_one_network(
    graph: &Graph<'_>,
    connect: &DeclaredEdge,
    from: usize,
    to: usize,
    diagnostics: &mut Diagnostics,
) -> bool {
    let place = |at: usize| &graph.places[graph.resources[at].instance];
    let is_one = place(from) == place(to);
    if !is_one {
        let apart = graph.are_apart(from, to, "accounts or regions").at(
            graph.word(connect, "to"),
            "must be in the same account and region",
        );
        diagnostics.push(apart.help(
            "set `on` of both components to the same account and region, or declare the rules as resources",
        ));
    }
    is_one
}

/// Returns separate rules instead of rules inside the groups, because two groups that name each other cannot be created.
pub(in crate::connect) fn group_rules(
    graph: &Graph<'_>,
    connect: &DeclaredEdge,
    from: usize,
    to: usize,
    port: &Term,
    protocol: &str,
) -> Vec<Resource> {
    let group = |at: usize| -> Term {
        let name = graph.resources[at].address.to_string().into();
        Reference {
            name,
            key: None,
            path: vec!["group_id".into()],
            local: false,
            span: connect.span,
        }
        .into()
    };
    let rule = |kind: &str, own: usize, other: usize, other_key: &str| {
        let (source, target) = (
            &graph.resources[from].address.resource,
            &graph.resources[to].address.resource,
        );
        let body = Term::map([
            ("GroupId", group(own)),
            (other_key, group(other)),
            ("IpProtocol", protocol.to_lowercase().into()),
            ("FromPort", port.clone()),
            ("ToPort", port.clone()),
            ("Description", format!("{source} to {target}").into()),
        ]);
        let owner = &graph.resources[own];
        let direction = kind.trim_start_matches("AWS::EC2::SecurityGroup").to_lowercase();
        let address = Address {
            resource: format!("{source}_to_{target}_{}_{direction}", slug(&port.shown())).into(),
            key: None,
            ..owner.address.clone()
        };
        let kind = ResourceKind::CloudFormation(kind.into());
        Resource {
            partition: owner.partition,
            ..Resource::generated(address, kind, body, connect.span, owner.instance)
        }
    };
    vec![
        rule(
            "AWS::EC2::SecurityGroupEgress",
            from,
            to,
            "DestinationSecurityGroupId",
        ),
        rule(
            "AWS::EC2::SecurityGroupIngress",
            to,
            from,
            "SourceSecurityGroupId",
        ),
    ]
}
