//! Converts JSON Schema, in the dialects of CloudFormation and Kubernetes, to the nodes of the catalog.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use terrace_artifact::Decimal;
use terrace_catalog::Pattern;
use terrace_catalog::node::{Field, Limits, Literal, Merge, Node, NodeId, Rules, flags, order, types};

/// The dialect of a schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    /// An object is open unless it has `additionalProperties: false`.
    CloudFormation,
    /// An object is closed unless the schema opens it.
    Kubernetes,
    /// Like Kubernetes, but objects inside `anyOf` and similar keywords are open.
    CustomResource,
}

/// A builder of the nodes of a section.
#[derive(Debug)]
pub(super) struct Builder<'j> {
    pub(super) nodes: Vec<Node<'j>>,
    style: Style,
    /// The document that `$ref` refers to.
    document: &'j Value,
    references: BTreeMap<&'j str, NodeId>,
    /// The nodes by their content, so that equal nodes are stored once.
    known: BTreeMap<String, NodeId>,
    /// The number of enclosing `anyOf` and similar keywords.
    branches: usize,
}

impl<'j> Builder<'j> {
    pub(super) fn new(style: Style, document: &'j Value) -> Builder<'j> {
        Builder {
            nodes: Vec::new(),
            style,
            document,
            references: BTreeMap::new(),
            known: BTreeMap::new(),
            branches: 0,
        }
    }

    /// Switches to another document for references. Keeps the nodes.
    pub(super) fn turn_to(&mut self, style: Style, document: &'j Value) {
        (self.style, self.document) = (style, document);
    }

    /// Adds a node, or returns an equal one.
    pub(super) fn add(&mut self, node: Node<'j>) -> NodeId {
        let text = format!("{node:?}");
        if let Some(id) = self.known.get(&text) {
            return *id;
        }
        let id = self.nodes.len() as NodeId;
        self.nodes.push(node);
        self.known.insert(text, id);
        id
    }

    /// Adds the node of a schema.
    pub(super) fn schema(&mut self, schema: &'j Value) -> NodeId {
        let Value::Object(object) = schema else {
            return self.anything();
        };
        if let Some(reference) = reference(object) {
            return self.reference(reference, object);
        }
        let node = self.node(object);
        self.add(node)
    }

    fn anything(&mut self) -> NodeId {
        self.add(Node {
            flags: flags::ANY | flags::OPEN,
            ..Node::default()
        })
    }

    /// Adds the node of a `$ref`, by the last part of its name. Reserves the node before it follows nested references.
    fn reference(&mut self, reference: &'j str, beside: &'j Map<String, Value>) -> NodeId {
        let id = match self.references.get(reference) {
            Some(id) => *id,
            None => {
                let id = self.nodes.len() as NodeId;
                self.nodes.push(Node::default());
                self.references.insert(reference, id);
                let branches = std::mem::take(&mut self.branches);
                let target = reference
                    .strip_prefix('#')
                    .and_then(|pointer| self.document.pointer(pointer));
                let mut node = match target {
                    Some(Value::Object(object)) => match self::reference(object) {
                        Some(next) => {
                            let next = self.reference(next, object);
                            self.nodes[next as usize].clone()
                        }
                        None => self.node(object),
                    },
                    _ => Node {
                        flags: flags::ANY | flags::OPEN,
                        ..Node::default()
                    },
                };
                self.branches = branches;
                mark_known(&mut node, reference);
                self.nodes[id as usize] = node;
                id
            }
        };
        // Merge rules appear next to a reference and apply only here.
        match merge(beside) {
            Some(merge) if self.style != Style::CloudFormation => {
                let node = Node {
                    merge: Some(Box::new(merge)),
                    ..self.nodes[id as usize].clone()
                };
                self.add(node)
            }
            _ => id,
        }
    }

    pub(super) fn node(&mut self, object: &'j Map<String, Value>) -> Node<'j> {
        let mut node = Node {
            types: type_bits(object),
            ..Node::default()
        };
        let get = |key: &str| object.get(key);
        let on = |key: &str| get(key) == Some(&Value::Bool(true));
        if on("x-kubernetes-int-or-string") || get("format").is_some_and(|f| f == "int-or-string") {
            node.types = types::INTEGER | types::STRING;
            node.flags |= flags::INT_OR_STRING | flags::INT32;
        }
        if on("nullable") {
            node.types |= types::NULL;
        }
        if on("uniqueItems") && self.style == Style::CloudFormation {
            node.flags |= flags::UNIQUE;
        }
        if self.style != Style::CloudFormation {
            match get("format").and_then(Value::as_str) {
                Some("date-time") => node.flags |= flags::TIME,
                Some("byte") => node.flags |= flags::BASE64,
                Some("int32") => node.flags |= flags::INT32,
                _ => {}
            }
        }
        self.objects(object, &mut node);
        if let Some(items) = get("items") {
            node.items = Some(self.schema(items));
        }
        node.limits = limits(object).map(Box::new);
        if get("enumCaseInsensitive").is_some() {
            node.flags |= flags::IGNORE_CASE;
        }
        if self.style != Style::CloudFormation && is_quantity(object) {
            node.flags |= flags::QUANTITY;
            node.types = types::STRING;
            node.limits = None;
        } else {
            if !node.is(flags::INT_OR_STRING) {
                node.rules = self.rules(object).map(Box::new);
            }
        }
        if self.style != Style::CloudFormation {
            node.merge = merge(object).map(Box::new);
        }
        // A schema that is empty, or that only has the type `object`, describes any JSON value.
        let is_empty =
            node.fields.is_empty() && node.values.is_none() && node.items.is_none() && node.rules.is_none();
        if is_empty && node.limits.is_none() && node.types & !(types::MAP | types::NULL) == 0 {
            match self.style {
                _ if node.types == 0 && self.branches == 0 => node.flags |= flags::ANY | flags::OPEN,
                Style::Kubernetes => node.flags |= flags::ANY | flags::OPEN,
                _ => {}
            }
        }
        if on("x-kubernetes-embedded-resource") {
            node.flags |= flags::EMBEDDED | flags::OPEN;
        }
        node
    }

    fn objects(&mut self, object: &'j Map<String, Value>, node: &mut Node<'j>) {
        let properties = object.get("properties").and_then(Value::as_object);
        let required: Vec<&str> = strings(object.get("required"));
        for (position, (name, schema)) in properties.into_iter().flatten().enumerate() {
            let id = self.schema(schema);
            // The server sets defaults before it validates, so a field with a default is never missing.
            let filled = self.style == Style::CustomResource && schema.get("default").is_some();
            let required = required.contains(&name.as_str()) && !filled;
            node.fields.push(Field {
                name,
                node: id,
                position: position as u16,
                required,
                read_only: false,
            });
        }
        match object.get("additionalProperties") {
            Some(Value::Bool(false)) => {}
            Some(schema @ Value::Object(_)) => node.values = Some(self.schema(schema)),
            Some(_) => node.flags |= flags::OPEN,
            None => {
                let combined = ["oneOf", "anyOf", "allOf", "if"]
                    .iter()
                    .any(|key| object.contains_key(*key));
                let closed = match self.style {
                    // Such a definition lists its properties and lacks `additionalProperties: false`.
                    Style::CloudFormation => properties.is_some_and(|p| !p.is_empty()) && !combined,
                    Style::Kubernetes => true,
                    Style::CustomResource => true,
                };
                if !closed || self.branches > 0 {
                    node.flags |= flags::OPEN;
                }
            }
        }
        if object.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) {
            node.flags |= flags::OPEN;
        }
        // A required name may have no schema here, usually in a branch of `oneOf`.
        if node.is(flags::OPEN) {
            for name in required {
                if node.fields.iter().all(|field| field.name != name) {
                    let (id, position) = (self.anything(), node.fields.len() as u16);
                    node.fields.push(Field {
                        name,
                        node: id,
                        position,
                        required: true,
                        read_only: false,
                    });
                }
            }
        }
        sort(node);
    }

    fn rules(&mut self, object: &'j Map<String, Value>) -> Option<Rules<'j>> {
        self.branches += 1;
        let mut rules = Rules::default();
        for (key, list) in [
            ("allOf", &mut rules.all),
            ("anyOf", &mut rules.any),
            ("oneOf", &mut rules.one),
            ("prefixItems", &mut rules.first_items),
        ] {
            if let Some(Value::Array(schemas)) = object.get(key) {
                *list = schemas.iter().map(|schema| self.schema(schema)).collect();
            }
        }
        rules.not = object.get("not").map(|schema| self.schema(schema));
        if let Some(condition) = object.get("if") {
            let condition = self.schema(condition);
            let then = object.get("then").map(|schema| self.schema(schema));
            rules.condition = Some((
                condition,
                then,
                object.get("else").map(|schema| self.schema(schema)),
            ));
        }
        self.branches -= 1;
        for (key, list) in [
            ("requiredXor", &mut rules.exactly_one),
            ("requiredOr", &mut rules.at_least_one),
            ("atMostOne", &mut rules.at_most_one),
        ] {
            match object.get(key) {
                // Our own key can contain several groups, the one of CloudFormation contains one.
                Some(Value::Array(groups)) if groups.iter().all(Value::is_array) => {
                    list.extend(groups.iter().map(|group| strings(Some(group))));
                }
                keys => list.extend(keys.map(|keys| strings(Some(keys)))),
            }
        }
        for key in ["dependencies", "dependentRequired", "dependentExcluded"] {
            let list = if key == "dependentExcluded" {
                &mut rules.excludes
            } else {
                &mut rules.needs
            };
            for (name, others) in object.get(key).and_then(Value::as_object).into_iter().flatten() {
                if others.is_array() {
                    list.push((name, strings(Some(others))));
                }
            }
        }
        if let Some(Value::Object(patterns)) = object.get("patternProperties") {
            for (pattern, schema) in patterns {
                let id = self.schema(schema);
                rules.patterns.push((Pattern::new(pattern), id));
            }
        }
        if let Some(keys @ Value::Array(_)) = object.get("uniqueKeys") {
            rules.unique_keys = strings(Some(keys));
        }
        let empty = format!("{:?}", Rules::default());
        (format!("{rules:?}") != empty).then_some(rules)
    }

    /// Returns the nodes that are reachable from the roots, renumbered in their order.
    pub(super) fn reachable(&self, roots: &mut [&mut NodeId]) -> Vec<Node<'j>> {
        let mut numbers: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        let mut queue: Vec<NodeId> = Vec::new();
        let mut visit = |id: &mut NodeId, queue: &mut Vec<NodeId>| {
            let next = numbers.len() as NodeId;
            let old = *id;
            *id = *numbers.entry(old).or_insert_with(|| {
                queue.push(old);
                next
            });
        };
        for root in roots {
            visit(root, &mut queue);
        }
        let mut nodes = Vec::new();
        let mut at = 0;
        while let Some(id) = queue.get(at).copied() {
            at += 1;
            let mut node = self.nodes[id as usize].clone();
            each_reference(&mut node, &mut |id| visit(id, &mut queue));
            nodes.push(node);
        }
        nodes
    }
}

/// Sorts the fields, because lookups use binary search.
pub(super) fn sort(node: &mut Node<'_>) {
    node.fields.sort_by(|a, b| order(a.name, b.name));
    node.required = node.fields.iter().filter(|field| field.required).count() as u16;
}

fn each_reference(node: &mut Node<'_>, visit: &mut impl FnMut(&mut NodeId)) {
    node.fields.iter_mut().for_each(|field| visit(&mut field.node));
    node.items.iter_mut().for_each(&mut *visit);
    node.values.iter_mut().for_each(&mut *visit);
    if let Some(rules) = &mut node.rules {
        for list in [
            &mut rules.all,
            &mut rules.any,
            &mut rules.one,
            &mut rules.first_items,
        ] {
            list.iter_mut().for_each(&mut *visit);
        }
        rules.not.iter_mut().for_each(&mut *visit);
        if let Some((condition, then, otherwise)) = &mut rules.condition {
            visit(condition);
            then.iter_mut().for_each(&mut *visit);
            otherwise.iter_mut().for_each(&mut *visit);
        }
        rules.patterns.iter_mut().for_each(|(_, id)| visit(id));
    }
}

/// Returns the target of a `$ref`, or of the only schema of an `allOf`, which OpenAPI 3.0 uses to add keys to a reference.
fn reference(object: &Map<String, Value>) -> Option<&str> {
    if let Some(Value::String(reference)) = object.get("$ref") {
        return Some(reference);
    }
    match object.get("allOf") {
        Some(Value::Array(all)) if all.len() == 1 && !object.contains_key("type") => {
            all[0].get("$ref")?.as_str()
        }
        _ => None,
    }
}

/// Marks Kubernetes types that have rules in addition to their schema.
fn mark_known(node: &mut Node<'_>, reference: &str) {
    let Some(name) = reference.rsplit('/').next() else {
        return;
    };
    if name.ends_with(".v1.CustomResourceSubresourceStatus") {
        node.flags &= !(flags::ANY | flags::OPEN);
    }
    let flag = match name {
        "io.k8s.apimachinery.pkg.api.resource.Quantity" => flags::QUANTITY,
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString" => flags::INT_OR_STRING,
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" => flags::METADATA,
        "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector" => flags::SELECTOR,
        "io.k8s.apimachinery.pkg.runtime.RawExtension" => flags::ANY | flags::OPEN,
        _ => return,
    };
    node.flags |= flag;
    if flag == flags::QUANTITY {
        (node.types, node.rules) = (types::STRING, None);
    }
    if flag == flags::METADATA {
        const SERVERS: [&str; 8] = [
            "creationTimestamp",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "generation",
            "managedFields",
            "resourceVersion",
            "selfLink",
            "uid",
        ];
        for field in &mut node.fields {
            field.read_only = SERVERS.contains(&field.name);
        }
    }
    if flag == flags::INT_OR_STRING {
        (node.types, node.rules) = (types::INTEGER | types::STRING, None);
        node.flags |= flags::INT32;
    }
}

/// Returns whether a schema of a custom resource is a quantity, by its pattern.
fn is_quantity(object: &Map<String, Value>) -> bool {
    object
        .get("pattern")
        .and_then(Value::as_str)
        .is_some_and(|pattern| pattern.contains("[KMGTPE]i)|[numkMGTPE]"))
}

fn type_bits(object: &Map<String, Value>) -> u8 {
    let bit = |name: &Value| match name.as_str() {
        Some("null") => types::NULL,
        Some("boolean") => types::BOOL,
        Some("integer") => types::INTEGER,
        Some("number") => types::NUMBER,
        Some("string") => types::STRING,
        Some("array") => types::LIST,
        Some("object") => types::MAP,
        _ => 0,
    };
    match (object.get("type"), object.get("enum")) {
        (Some(Value::Array(names)), _) => names.iter().fold(0, |bits, name| bits | bit(name)),
        (Some(name), _) => bit(name),
        (None, Some(Value::Array(values))) if values.iter().all(Value::is_string) => types::STRING,
        _ => 0,
    }
}

pub(super) fn strings(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn literal(value: &Value) -> Option<Literal<'_>> {
    match value {
        Value::Bool(bool) => Some(Literal::Bool(*bool)),
        Value::String(text) => Some(Literal::String(text)),
        Value::Number(number) => number.to_string().parse().ok().map(Literal::Number),
        _ => None,
    }
}

fn limits(object: &Map<String, Value>) -> Option<Limits<'_>> {
    let number = |key: &str| object.get(key)?.as_number()?.to_string().parse::<Decimal>().ok();
    let size = |key: &str| u32::try_from(object.get(key)?.as_u64()?).ok();
    let allowed = ["enum", "enumCaseInsensitive"]
        .iter()
        .find_map(|key| object.get(*key)?.as_array());
    let allowed = allowed.and_then(|list| list.iter().map(literal).collect::<Option<Vec<_>>>());
    let constant = object.get("const").and_then(literal).map(|literal| vec![literal]);
    let exclusive = |key: &str| object.get(key) == Some(&Value::Bool(true));
    let (mut minimum, mut maximum) = (number("minimum"), number("maximum"));
    let below = if exclusive("exclusiveMaximum") {
        maximum.take()
    } else {
        number("exclusiveMaximum")
    };
    let above = if exclusive("exclusiveMinimum") {
        minimum.take()
    } else {
        number("exclusiveMinimum")
    };
    let limits = Limits {
        allowed: allowed.or(constant).unwrap_or_default(),
        pattern: object.get("pattern").and_then(Value::as_str).map(Pattern::new),
        minimum,
        maximum,
        below,
        above,
        multiple_of: number("multipleOf"),
        min_length: size("minLength").filter(|least| *least > 0),
        max_length: size("maxLength"),
        min_count: size("minItems")
            .or_else(|| size("minProperties"))
            .filter(|least| *least > 0),
        max_count: size("maxItems").or_else(|| size("maxProperties")),
    };
    (format!("{limits:?}") != format!("{:?}", Limits::default())).then_some(limits)
}

fn merge(object: &Map<String, Value>) -> Option<Merge<'_>> {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let list = text("x-kubernetes-list-type");
    let has_rules = list.is_some()
        || text("x-kubernetes-map-type").is_some()
        || object.contains_key("x-kubernetes-patch-merge-key");
    // Zero values of Go appear as defaults, but the server does not set them.
    let default = object.get("default").and_then(literal).filter(|literal| {
        !matches!(literal, Literal::String("") | Literal::Bool(false))
            && *literal != Literal::Number(Decimal::ZERO)
    });
    let kubernetes = has_rules || default.is_some();
    let merge = Merge {
        atomic: list == Some("atomic") || text("x-kubernetes-map-type") == Some("atomic"),
        set: list == Some("set"),
        keys: if list == Some("map") {
            strings(object.get("x-kubernetes-list-map-keys"))
        } else {
            Vec::new()
        },
        default,
    };
    (kubernetes && merge != Merge::default()).then_some(merge)
}
