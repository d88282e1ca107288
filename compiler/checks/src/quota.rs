//! Compares the total of the pods and volumes of a namespace with its quota.

use std::collections::BTreeSet;

use terrace_artifact::{Address, Decimal, Quantity, Segment};
use terrace_graph::connect::pod_spec;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;

use super::{Finding, Subject};

/// The resources that a quota counts, and where a container declares them. Other usage is known only at run time.
const COUNTED: [(&str, &str, &str); 5] = [
    ("requests.cpu", "requests", "cpu"),
    ("requests.memory", "requests", "memory"),
    ("limits.cpu", "limits", "cpu"),
    ("limits.memory", "limits", "memory"),
    ("limits.ephemeral-storage", "limits", "ephemeral-storage"),
];

/// Returns the device that a quota counts, such as `nvidia.com/gpu`. Its limit is its request.
fn device(counted: &str) -> Option<&str> {
    let resource = counted.strip_prefix("requests.")?;
    is_device(resource).then_some(resource)
}

/// Returns whether a resource is an extended resource. Resources of Kubernetes have no domain, or one that ends in `kubernetes.io`.
fn is_device(resource: &str) -> bool {
    let domain = resource.split_once('/').map(|(domain, _)| domain);
    domain.is_some_and(|domain| domain != "kubernetes.io" && !domain.ends_with(".kubernetes.io"))
}

/// A workload of the namespace, with its minimum and maximum number of pods.
struct Workload<'a> {
    resource: &'a Resource,
    body: &'a Term,
    pods: (i64, i64),
}

/// The share of one resource in the total, at the minimum and maximum number of pods.
struct Share<'a> {
    address: &'a Address,
    least: Decimal,
    most: Decimal,
}

pub(super) fn quota(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let spec = subject.body.get("spec");
    // A quota with a scope counts only some of the pods.
    let scoped = |spec: &Term| spec.get("scopes").or(spec.get("scopeSelector")).is_some();
    let of_jobs = super::jobs::is_quota(subject.resource, subject.body);
    if spec.is_some_and(scoped) && !of_jobs {
        return;
    }
    let workloads: Vec<Workload<'_>> = subject
        .beside()
        .filter_map(|(resource, body)| {
            let pods = match of_jobs {
                true => super::jobs::counted(resource, body)?,
                false => super::pods::range(subject, resource, body)?,
            };
            Some(Workload { resource, body, pods })
        })
        .collect();
    let hard = spec
        .and_then(|spec| spec.get("hard"))
        .map_or(&[][..], Term::entries);
    for (name, hard) in hard {
        let Some(hard) = amount(hard) else { continue };
        let counted = COUNTED.iter().find(|(counted, ..)| *counted == name.as_str());
        let counted = counted.map(|(_, side, resource)| (*side, *resource));
        let shares = match counted.or_else(|| Some(("limits", device(name)?))) {
            Some((side, resource)) => pods(&workloads, |pod| of_pod(subject, pod, side, resource)),
            None if name == "pods" => pods(&workloads, |_| Some(Decimal::from(1))),
            None if name == "requests.storage" => volumes(subject, &workloads),
            None => continue,
        };
        let total = |amount: fn(&Share<'_>) -> Decimal| {
            shares
                .iter()
                .try_fold(Decimal::from(0), |sum, share| sum.add(amount(share)).ok())
        };
        let (Some(least), Some(most)) = (total(|share| share.least), total(|share| share.most)) else {
            continue;
        };
        let (code, sum, which) = match () {
            () if least > hard.amount => (Code::QuotaExceeded, least, "at least"),
            () if most > hard.amount => (Code::QuotaTooSmall, most, "up to"),
            () => continue,
        };
        let shown = |amount: Decimal| Quantity { amount, ..hard }.to_string();
        let message = format!(
            "the total of `{name}` is {which} {}, but the quota is {hard}",
            shown(sum)
        );
        let largest = shares.iter().max_by(|a, b| a.most.cmp(&b.most));
        let finding = Finding::new(code, &["spec", "hard"], message).below([Segment::Key(name.clone())]);
        findings.push(match largest {
            Some(share) => finding.help(format!(
                "reduce the largest share, `{}` with {}, or increase the quota",
                share.address,
                shown(if code == Code::QuotaExceeded {
                    share.least
                } else {
                    share.most
                })
            )),
            None => finding,
        });
    }
}

/// Reports devices that pods of a tenant request without a quota in their namespace. A ResourceQuota limits only the resources that it names, so
/// the tenant could use all of these devices.
pub(super) fn devices(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let owner = &subject.graph.instances[subject.resource.instance].owner;
    let (Some(tenant), Some(pod)) = (owner.tenant(), pod_spec(subject.body)) else {
        return;
    };
    let quotas: Vec<&Term> = subject
        .beside()
        .filter(|(resource, _)| resource.kind.kubernetes() == Some("ResourceQuota"))
        .filter_map(|(_, body)| body.at(&["spec", "hard"]))
        .collect();
    if quotas.is_empty() {
        return;
    }
    let containers = ["containers", "initContainers"].into_iter();
    let containers = containers.flat_map(|list| pod.get(list).map_or(&[][..], Term::items));
    let mut unlimited = BTreeSet::new();
    for container in containers {
        let limits = container
            .at(&["resources", "limits"])
            .map_or(&[][..], Term::entries);
        let devices = limits.iter().map(|(name, _)| name.as_str());
        unlimited.extend(devices.filter(|name| is_device(name)));
    }
    unlimited.retain(|name| {
        let counted = format!("requests.{name}");
        !quotas.iter().any(|hard| hard.get(&counted).is_some())
    });
    for device in unlimited {
        let message = format!(
            "`{}` uses `{device}`, which no quota of tenant `{tenant}` limits",
            subject.resource.address
        );
        findings.push(Finding::new(Code::QuotaExceeded, &[], message).help(format!(
            "set the maximum for the tenant in the input `devices` of the module `tenant`: `devices: {{{device}: 1}}`"
        )));
    }
}

impl<'a> Workload<'a> {
    fn share(&self, per_pod: Decimal) -> Option<Share<'a>> {
        let (least, most) = self.pods;
        Some(Share {
            address: &self.resource.address,
            least: per_pod.mul(least.into()).ok()?,
            most: per_pod.mul(most.into()).ok()?,
        })
    }
}

/// Returns the shares of the workloads of the namespace. `per_pod` returns the amount of one pod.
fn pods<'a>(workloads: &[Workload<'a>], per_pod: impl Fn(&'a Term) -> Option<Decimal>) -> Vec<Share<'a>> {
    let share = |workload: &Workload<'a>| workload.share(per_pod(pod_spec(workload.body)?)?);
    workloads.iter().filter_map(share).collect()
}

/// Returns the total of the containers of a pod, with the defaults of the LimitRange of the namespace.
fn of_pod(subject: &Subject<'_>, pod: &Term, side: &str, resource: &str) -> Option<Decimal> {
    let given = || {
        let range = subject
            .beside()
            .find(|(other, _)| other.kind.kubernetes() == Some("LimitRange"))?;
        let limits = range.1.at(&["spec", "limits"]).map_or(&[][..], Term::items);
        let of_containers = limits
            .iter()
            .find(|limit| limit.get("type").and_then(Term::as_str) == Some("Container"))?;
        let key = if side == "requests" {
            "defaultRequest"
        } else {
            "default"
        };
        amount(of_containers.at(&[key, resource])?)
    };
    let containers = pod.get("containers").map_or(&[][..], Term::items);
    containers.iter().try_fold(Decimal::from(0), |sum, container| {
        let declared = |side: &str| amount(container.at(&["resources", side, resource])?);
        let own = declared(side).or_else(|| match side {
            // Without a request, Kubernetes uses the limit as the request.
            "requests" => declared("limits"),
            _ => None,
        });
        match own.or_else(given) {
            Some(quantity) => sum.add(quantity.amount).ok(),
            None => Some(sum),
        }
    })
}

/// Returns the shares of storage: of PersistentVolumeClaims, and of StatefulSets, which create one claim for each pod.
fn volumes<'a>(subject: &Subject<'a>, workloads: &[Workload<'a>]) -> Vec<Share<'a>> {
    let size = |claim: &Term| {
        let size = amount(claim.at(&["spec", "resources", "requests", "storage"])?);
        size.map(|size| size.amount)
    };
    let claims = subject.beside().filter_map(|(resource, body)| {
        let size = (resource.kind.kubernetes() == Some("PersistentVolumeClaim")).then(|| size(body))??;
        let address = &resource.address;
        Some(Share {
            address,
            least: size,
            most: size,
        })
    });
    let of_pods = workloads.iter().filter_map(|workload| {
        let claims = workload
            .body
            .at(&["spec", "volumeClaimTemplates"])?
            .items()
            .iter();
        let per_pod = claims
            .filter_map(size)
            .try_fold(Decimal::from(0), |sum, size| sum.add(size).ok())?;
        workload.share(per_pod)
    });
    claims.chain(of_pods).collect()
}

fn amount(term: &Term) -> Option<Quantity> {
    match term {
        Term::Quantity(quantity) => Some(*quantity),
        Term::String(text) => text.parse().ok(),
        Term::Number(number) => Some(Quantity {
            amount: *number,
            binary: false,
        }),
        _ => None,
    }
}
