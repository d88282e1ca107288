//! Athena queries, the locations of their results, and the keys that encrypt their targets.

use terrace_artifact::Text;
use terrace_language::aws::actions;
use terrace_language::aws::arn::{arn, glue_table_arns, s3_arn};
use terrace_language::aws::encryption;
use terrace_language::aws::encryption::KeyUse;
use terrace_language::aws::s3_url;
use terrace_language::expression::template;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::{Diagnostic, Diagnostics};
use terrace_syntax::node::Node;
use terrace_syntax::source::Span;

use super::called::{KNOWN_AT_RUN_TIME, LEAST_PRIVILEGE, Target};
use crate::lower::Lowering;
use crate::read::waits;
use crate::runtime::Value;
use crate::runtime::names::Position;
use crate::services::{ServiceStep, Task};
use crate::targets::Targets;

impl<'a> Lowering<'a, '_> {
    pub(crate) fn athena(&mut self, step: &mut ServiceStep<'_>) -> Option<Task> {
        let (node, body) = (step.node, step.body);
        let span = node.span;
        let workgroup = self.target(node, "AWS::Athena::WorkGroup")?;
        let name = workgroup.name(span);
        let catalog = self.named(body.get("catalog"), "AwsDataCatalog")?;
        let database = self.named(body.get("database"), "default")?;
        let waits = waits(body);
        let own = [
            arn("athena", ["workgroup/".into(), name.clone()], span),
            arn("athena", ["datacatalog/".into(), catalog], span),
        ];
        self.permissions.allow(
            "RunQueries",
            &["athena:StartQueryExecution", "athena:GetDataCatalog"],
            own.clone(),
        );
        if waits {
            self.permissions.allow("WatchQueries", actions::FOLLOW_QUERY, own);
        }
        self.permissions.allow(
            "ReadCatalog",
            actions::READ_TABLES,
            glue_table_arns(database, "*".into(), span),
        );
        self.permissions.allow(
            "ReadGovernedTables",
            &["lakeformation:GetDataAccess"],
            ["*".into()],
        );
        let mut parameters: Vec<(Text, Term)> = Vec::new();
        self.put_all(&mut parameters, &[("QueryString", "query")], step);
        parameters.push(("WorkGroup".into(), self.substitutions.value(&name)));
        let mut place = Vec::new();
        self.put_all(
            &mut place,
            &[("Catalog", "catalog"), ("Database", "database")],
            step,
        );
        if !place.is_empty() {
            parameters.push(("QueryExecutionContext".into(), Term::Map(place.into())));
        }
        let mut result = Vec::new();
        self.put_all(&mut result, &[("OutputLocation", "output")], step);
        if !result.is_empty() {
            parameters.push(("ResultConfiguration".into(), Term::Map(result.into())));
        }
        self.put_texts(&mut parameters, "ExecutionParameters", "parameters", step);
        self.results(body.get("output"), &workgroup, span);
        let service = if waits {
            "athena:startQueryExecution.sync"
        } else {
            "athena:startQueryExecution"
        };
        Some(self.service(service, parameters))
    }

    /// Returns a name that the role has permission to read. It must be known at compile time.
    fn named(&mut self, node: Option<&Node>, default: &str) -> Option<Term> {
        let Some(node) = node else {
            return Some(default.into());
        };
        let template = template(node, self.files, self.diagnostics);
        let mut reads = Vec::new();
        let value = self.with_runtime(&Position::default(), &mut reads, |runtime| {
            runtime.template(&template)
        })?;
        match value {
            Value::Known(term) => Some(term),
            Value::Late(_) => {
                self.diagnostics.push(
                    Diagnostic::new(
                        Code::NotAtRunTime,
                        "the catalog and database of a query must be known at compile time",
                    )
                    .at(node.span, KNOWN_AT_RUN_TIME)
                    .note(LEAST_PRIVILEGE),
                );
                None
            }
        }
    }

    /// Allows writing and reading the result of a query.
    pub(crate) fn results(&mut self, output: Option<&Node>, workgroup: &Target<'a>, span: Span) {
        let targets: &'a dyn Targets = self.context.targets;
        let written = output.and_then(|node| {
            let template = template(node, self.files, &mut Diagnostics::new());
            template.evaluate(&self.scope).ok()
        });
        let location = match (&written, workgroup.resource()) {
            (Some(term), _) => s3_url::split(term),
            (None, Some(workgroup)) => s3_url::results_of(workgroup),
            (None, None) => None,
        };
        let name = match location.map(|location| location.bucket) {
            Some(Term::Reference(reference)) => {
                let bucket = match (&written, workgroup.resource()) {
                    (None, Some(workgroup)) => targets.follow(workgroup, &reference),
                    _ => self.bucket_named(&reference),
                };
                bucket.map(|bucket| {
                    self.encrypted(Some(bucket), span);
                    bucket.attribute("name", span)
                })
            }
            named => named,
        };
        let Some(name) = name else {
            self.diagnostics.push(
                Diagnostic::new(Code::WrongTarget, "the result of the query has no known bucket")
                    .at(
                        output.map_or(span, |node| node.span),
                        "the role requires permission to write to the bucket",
                    )
                    .help("set `output: s3://BUCKET/PREFIX/`, or an output location in the workgroup"),
            );
            return;
        };
        let bucket = s3_arn([name.clone()], span);
        let objects = s3_arn([name, "/*".into()], span);
        self.permissions
            .allow("ListResults", actions::LIST_UPLOADS, [bucket]);
        self.permissions
            .allow("WriteResults", actions::WRITE_RESULTS, [objects]);
    }

    /// Allows the use of the key that encrypts a resource.
    pub(crate) fn encrypted(&mut self, resource: Option<&'a Resource>, span: Span) {
        let Some((resource, what)) =
            resource.and_then(|resource| Some((resource, encryption::encrypted_data(resource)?)))
        else {
            return;
        };
        let targets: &'a dyn Targets = self.context.targets;
        let own = encryption::key(resource, |from, to| targets.follow(from, to));
        let key = match (own, encryption::named_key(resource)) {
            (Some(key), _) => key.attribute("arn", span),
            (None, Some(Term::String(text))) if text.starts_with("arn:") => Term::String(text.clone()),
            // The policies of AWS managed keys allow their use through the service by the whole account.
            (None, Some(Term::String(text))) if !text.starts_with("alias/") => {
                arn("kms", [format!("key/{text}").into()], span)
            }
            (None, _) => return,
        };
        let of_resource = encryption::condition(resource, &resource.attribute("arn", span), None);
        self.permissions.allow_if(
            format!("UseKeysOf{what}"),
            KeyUse::Encrypt.actions(),
            [key],
            of_resource.into_iter().collect(),
        );
    }
}
