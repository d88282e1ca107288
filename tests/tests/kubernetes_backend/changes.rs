//! Create, update, replace, delete: an apply makes exactly the planned changes.

use std::collections::BTreeSet;

use terrace_artifact::{Binding, Part, Segment, Source};
use terrace_deployer::{Action, Risk};

use crate::documents::{NAMESPACE, READERS, SETTINGS, archive, in_namespace, job, workload};
use crate::support::{Stack, address, bind, requests, show, words};
use terrace_tests::servers::Cluster;

/// Objects of every kind, except for the namespace and the settings.
const OTHER_KINDS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: $N}
stringData: {token: swordfish}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: $N}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $N}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: registry.example/web:1
        args: [--quiet]
        ports: [{containerPort: 8080}, {containerPort: 53, protocol: UDP}]
        env:
        - {name: COLOR, value: blue}
        - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        resources: {requests: {cpu: 1000m, memory: 0.5Gi}, limits: {memory: 1Gi}}
        volumeMounts: [{name: scratch, mountPath: /scratch}]
      volumes: [{name: scratch, emptyDir: {}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store, namespace: $N}
spec:
  serviceName: store
  replicas: 2
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      containers: [{name: store, image: 'registry.example/store:1', volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: $N}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: 'registry.example/agent:1'}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: $N}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: migrate, image: 'registry.example/migrate:1'}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: archive, namespace: $N, annotations: {terrace.dev/holds-data: 'true'}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: dns, namespace: $N}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: [{ports: [{port: 53, protocol: UDP}, {port: 53}]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: $N}
rules: [{apiGroups: [''], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: $N}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: Group, name: readers}]
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: quota, namespace: $N}
spec: {hard: {pods: '50', requests.storage: 102400Mi}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: agent, namespace: $N}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: store}
  minReplicas: 2
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.$N.example.com}
spec:
  group: $N.example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {size: {type: integer, default: 1}, parts: {type: array, items: {type: string}}}}}
---
apiVersion: $N.example.com/v1
kind: Widget
metadata: {name: one, namespace: $N}
spec: {parts: [a, b]}
";

/// Exercises everything that one apply can do, with all kinds at once. A plan without changes sends no request that
/// writes.
#[tokio::test(flavor = "multi_thread")]
async fn creates_updates_and_deletes_every_kind() {
    // A separate cluster, so that the server's counters include only our requests.
    let cluster = Cluster::start();
    let stack = Stack::in_cluster("kinds", &cluster);
    let all_kinds = in_namespace([SETTINGS, OTHER_KINDS]);
    let plan = stack.plan(&all_kinds).await;
    assert!(
        plan.changes().all(|step| step.change.action == Action::Create),
        "{}",
        show(&plan)
    );
    let report = stack.apply(&all_kinds).await;
    assert_eq!(report.steps.len(), 16);

    let before = requests(&cluster);
    let again = stack.plan(&all_kinds).await;
    assert!(again.is_empty(), "{}", show(&again));
    stack
        .try_apply_plan(&again)
        .await
        .expect("a plan without changes is applied");
    let mut after = requests(&cluster);
    after.retain(|key, count| {
        *count -= before.get(key).copied().unwrap_or_default();
        // Writes of controllers, and reviews of the test's own credentials.
        let others = [
            "leases",
            "events",
            "tokenreviews",
            "subjectaccessreviews",
            "endpoints",
            "nodes",
            "status",
        ];
        *count > 0 && !others.iter().any(|other| key.contains(other))
    });
    assert!(
        after.is_empty(),
        "a plan without changes sent writes or dry runs: {after:?}"
    );

    let changed = all_kinds
        .replace("color: blue", "color: green")
        .replace(
            "replicas: 2\n  selector: {matchLabels: {app: web}}",
            "replicas: 3\n  selector: {matchLabels: {app: web}}",
        )
        .replace("registry.example/web:1", "registry.example/web:2")
        .replace(
            "size: {type: integer, default: 1}",
            "size: {type: integer, default: 2}",
        )
        .replace("parts: [a, b]", "parts: [b, a]")
        .replace("token: swordfish", "token: marlin");
    let plan = stack.plan(&changed).await;
    assert_eq!(
        show(&plan),
        "update CustomResourceDefinition widgets.kinds.example.com: \
         `spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.size.default` changes
  spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.size.default: 1 -> 2
update Deployment web: `spec.replicas` and `spec.template.spec.containers[0].image` change
  spec.replicas: 2 -> 3
  spec.template.spec.containers[0].image: \"registry.example/web:1\" -> \"registry.example/web:2\"
update ConfigMap settings: `data.color` changes
  data.color: \"blue\" -> \"green\"
update Secret keys: `data.token` changes
  data.token: \"(secret)\" -> \"(secret)\"
update Widget one: `spec.parts[0]` and `spec.parts[1]` change
  spec.parts[0]: \"a\" -> \"b\"
  spec.parts[1]: \"b\" -> \"a\"
"
    );
    let json = serde_json::to_string(&plan).expect("a plan is JSON");
    assert!(
        !json.contains("c3dvcmRmaXNo") && !json.contains("swordfish"),
        "a secret is in the plan"
    );
    let web = plan
        .changes()
        .find(|step| step.subject.kind == "Deployment")
        .expect("the Deployment");
    assert_eq!(web.change.risk, Risk::Restart);
    stack.apply(&changed).await;
    assert_eq!(
        stack.field("deployment/web --namespace=$N", ".status.availableReplicas"),
        "3"
    );
    assert_eq!(
        stack.field("secret/keys --namespace=$N", ".data.token"),
        "bWFybGlu"
    );

    // One object is removed from the stack and deleted. Another carries only our label, was never ours, and remains.
    stack.kubectl("label configmap kube-root-ca.crt terrace.dev/stack=kinds.testing --namespace=$N");
    let fewer = changed.replace(
        "kind: ConfigMap\nmetadata: {name: settings,",
        "kind: ConfigMap\nmetadata: {name: renamed,",
    );
    let plan = stack.plan(&fewer).await;
    assert_eq!(
        show(&plan),
        "create ConfigMap renamed: it does not exist\ndelete ConfigMap settings: no longer in the stack\n"
    );
    stack.apply(&fewer).await;
    assert!(
        cluster
            .get(&["configmap", "settings", "--namespace=kinds"])
            .is_none()
    );

    let plan = stack.plan("").await;
    let refused = plan
        .allowed(&BTreeSet::new())
        .expect_err("the plan loses data")
        .to_string();
    assert!(
        refused.contains("--approve 'platform/kinds/persistentvolumeclaim-archive'"),
        "{refused}"
    );
    // The namespace contains PersistentVolumeClaims that the stack does not declare: those of the StatefulSet.
    assert!(
        refused.contains("--approve 'platform/kinds/namespace-kinds'"),
        "{refused}"
    );
    let plan = stack.destroy_plan(&fewer).await;
    let lost = plan.approvals().into_iter().cloned().collect();
    let stack = Stack {
        approved: lost,
        ..stack
    };
    let approvals: Vec<String> = stack.approved.iter().map(ToString::to_string).collect();
    assert_eq!(
        approvals,
        [
            "platform/kinds/namespace-kinds",
            "platform/kinds/namespace-kinds[\"PersistentVolumeClaim/data-store-0\"]",
            "platform/kinds/namespace-kinds[\"PersistentVolumeClaim/data-store-1\"]",
            "platform/kinds/persistentvolumeclaim-archive",
            "platform/kinds/statefulset-store",
        ]
    );
    stack.destroy(&fewer).await;
    assert!(cluster.get(&["namespace", "kinds"]).is_none());
    assert!(cluster.get(&["crd", "widgets.kinds.example.com"]).is_none());
}

/// Changes of immutable fields replace the object; an object with data requires an approval.
#[tokio::test(flavor = "multi_thread")]
async fn replaces_objects_whose_immutable_fields_change() {
    let stack = Stack::new("replaced");
    // The pods already carry the additional label of the new selector, because the selector is immutable.
    let web = workload("Deployment", "web", "replicas: 1", "web:1", "1")
        .replace("labels: {app: web}", "labels: {app: web, also: api}");
    let fixed = "
apiVersion: v1
kind: ConfigMap
metadata: {name: fixed, namespace: $N}
immutable: true
data: {a: '1'}
";
    let before = in_namespace([
        web.as_str(),
        &job("migrate:1", "backoffLimit: 6"),
        &archive("2Gi"),
        READERS,
        fixed,
        &workload("StatefulSet", "store", "serviceName: store", "store:1", "1"),
    ]);
    stack.apply(&before).await;
    let uid = |object: &str| stack.field(&format!("{object} --namespace=$N"), ".metadata.uid");
    let objects = [
        "deployment/web",
        "job/migrate",
        "pvc/archive",
        "rolebinding/readers",
        "configmap/fixed",
        "statefulset/store",
    ];
    let old = objects.map(uid);
    let after = before
        .replace("matchLabels: {app: web}", "matchLabels: {app: web, also: api}")
        .replace("migrate:1", "migrate:2")
        .replace("storage: 2Gi", "storage: 1Gi")
        .replace("name: reader}", "name: writer}")
        .replace("{a: '1'}", "{a: '2'}")
        .replace("serviceName: store", "serviceName: shop");
    let plan = stack.plan(&after).await;
    assert!(
        plan.changes().all(|step| step.change.action == Action::Replace),
        "{}",
        show(&plan)
    );
    assert_eq!(plan.changes().count(), 6, "{}", show(&plan));
    let shown = show(&plan);
    for line in [
        "replace Job migrate: `spec.template.spec.containers[0].image` cannot be changed in place",
        "  spec.template.spec.containers[0].image: \"registry.example/migrate:1\" -> \"registry.example/migrate:2\" forces replacement",
        "replace PersistentVolumeClaim archive: `spec.resources.requests.storage` cannot be changed in place",
        "replace RoleBinding readers: `roleRef.name` cannot be changed in place",
        "replace ConfigMap fixed: `data.a` cannot be changed in place",
        "replace StatefulSet store: `spec.serviceName` cannot be changed in place",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    let refused = words(stack.try_apply_plan(&plan).await);
    assert!(
        refused.contains("--approve 'platform/replaced/persistentvolumeclaim-archive'"),
        "{refused}"
    );
    assert_eq!(objects.map(uid), old, "the refused apply replaced an object");

    let stack = Stack {
        approved: vec![address("platform/replaced/persistentvolumeclaim-archive")],
        ..stack
    };
    stack.apply(&after).await;
    let uid = |object: &str| stack.field(&format!("{object} --namespace=$N"), ".metadata.uid");
    for (object, old) in objects.iter().zip(&old) {
        assert_ne!(uid(object), *old, "{object}");
    }
}

/// A field of one object contains a value of another object that is known after apply.
#[tokio::test(flavor = "multi_thread")]
async fn fills_fields_with_values_of_ready_objects() {
    let stack = Stack::new("bound");
    let yaml = "
apiVersion: v1
kind: Namespace
metadata: {name: $N}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: $N}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: $N}
data: {address: '${platform/bound/service-web.address}'}
";
    let with_binding = |yaml: &str| {
        let mut bundle = stack.bundle(yaml);
        let key = |key: &str| Segment::Key(key.into());
        let service = bundle
            .artifacts
            .iter()
            .find(|a| a.object().is_some_and(|o| o.kind == "Service"));
        let source = Source {
            artifact: service.expect("the Service").id.clone(),
            attribute: vec![key("spec"), key("clusterIP")],
            shown: "platform/bound/service-web.address".into(),
        };
        let parts = vec![Part::Text("http://".into()), Part::Late(source)];
        bind(
            &mut bundle,
            "ConfigMap",
            Binding {
                path: vec![key("data"), key("address")],
                parts,
            },
        );
        bundle
    };
    let bundle = with_binding(yaml);
    stack.apply_bundle(&bundle).await;
    let address = stack.field("service/web --namespace=$N", ".spec.clusterIP");
    assert!(address.starts_with("10."), "{address}");
    assert_eq!(
        stack.field("configmap/settings --namespace=$N", ".data.address"),
        format!("http://{address}")
    );

    // A new Service of that name has a new address, and objects that use the address wait for it.
    let replaced = with_binding(&yaml.replace("ports: [{port: 80}]", "clusterIP: None, ports: [{port: 80}]"));
    let plan = stack.plan_of(&replaced).await;
    let shown = show(&plan);
    assert!(
        shown.contains("replace Service web: `spec.clusterIP` cannot be changed in place"),
        "{shown}"
    );
    assert!(
        shown.contains(&format!(
            "  data.address: \"http://{address}\" -> known after platform/bound/service-web.address"
        )),
        "{shown}"
    );
    stack.apply_bundle(&replaced).await;
    assert_eq!(
        stack.field("configmap/settings --namespace=$N", ".data.address"),
        "http://None"
    );
}

/// The server validates all changes before the first write.
#[tokio::test(flavor = "multi_thread")]
async fn reports_rejected_objects_before_any_write() {
    let stack = Stack::new("rejected");
    let yaml = NAMESPACE;
    stack.apply(yaml).await;
    let wrong = format!(
        "{yaml}---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: $N}}
spec: {{selector: {{app: web}}, ports: [{{port: 99999}}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: lost, namespace: no-such-namespace}}
data: {{a: b}}
---
apiVersion: example.org/v1
kind: Gadget
metadata: {{name: one, namespace: $N}}
"
    );
    let words = words(stack.try_plan(&stack.bundle(&wrong)).await);
    for line in [
        "platform/rejected/service-web: the server rejects `spec.ports[0].port` and `spec.ports[0].targetPort` of Service `web` in namespace `rejected`",
        "server response: Service \"web\" is invalid: [spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive",
        "declared at components.yaml:1:3, defined at components.yaml:7:3",
        "platform/rejected/configmap-lost: namespace `no-such-namespace` does not exist",
        "platform/rejected/gadget-one: the cluster does not serve `Gadget` at `example.org/v1`",
    ] {
        assert!(words.contains(line), "{line}\n{words}");
    }
}
