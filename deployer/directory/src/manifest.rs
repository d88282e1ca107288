//! The contents of a directory, and the record of the files in it that Terrace manages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use terrace_artifact::{
    Artifact, ArtifactId, Body, Bundle, CloudFormationStack, Digest, Map, Object, Origin, Text, Value, files,
};
use terrace_deployer_model::backend::Wanted;
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::live::ADDRESS;

use super::{STATE, disk, failed};

/// The record of the managed files of a directory: `.terrace/manifest.json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Always [`FORMAT`].
    pub(super) format: Text,
    /// The label of the environment that owns the directory: `acme.development`.
    pub(super) stack: String,
    /// The digests of the files, as Terrace wrote them.
    pub(super) files: BTreeMap<String, Digest>,
    /// The files that an apply is about to write. Empty unless an apply runs, or was killed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) claims: BTreeSet<String>,
    /// The artifacts that the files were rendered from.
    pub(super) artifacts: Vec<Artifact>,
    /// The artifacts that were adopted: their files existed before Terrace managed them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) adopted: BTreeSet<ArtifactId>,
    /// Adopted artifacts that were retained. Their file still contains them, because Terrace manages other artifacts in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) released: Vec<Artifact>,
}

const FORMAT: &str = "terrace-directory/1";
const FILE: &str = "manifest.json";

impl Manifest {
    /// Reads the record. Returns nothing if no apply has written to the directory.
    pub(super) fn read(folder: &Path) -> Result<Option<Manifest>, Failure> {
        let path = folder.join(STATE).join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, &error)),
        };
        let broken = |why: String| {
            Failure::new(
                FailureKind::Broken,
                format!(
                    "`{}` is not a valid record of this directory: {why}",
                    path.display()
                ),
            )
            .hint("restore the file from version control, or move the directory away and apply again")
        };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(broken(format!(
                "its format is `{}`, and this version of terrace reads `{FORMAT}`",
                manifest.format
            )));
        }
        Ok(Some(manifest))
    }

    /// Writes the record.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let path = folder.join(STATE).join(FILE);
        let manifest = Manifest {
            format: FORMAT.into(),
            ..self.clone()
        };
        let text = serde_json::to_string_pretty(&manifest).map_err(io::Error::other);
        text.and_then(|text| disk::replace_for_good(&path, format!("{text}\n").as_bytes()))
            .map_err(|error| failed("write", &path, &error))
    }
}

/// The contents of a directory.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) manifest: Manifest,
    /// The current digests of the managed files, and of the files that an apply was about to write.
    pub(super) digests: BTreeMap<String, Digest>,
    /// The artifacts in the directory.
    pub(super) found: BTreeMap<ArtifactId, Found>,
}

/// An artifact in a directory.
pub(super) struct Found {
    /// The artifact, with the manifest that the file contains now.
    pub(super) artifact: Artifact,
    /// Whether Terrace manages its files.
    pub(super) ours: bool,
    /// Whether it was adopted.
    pub(super) adopted: bool,
    /// The other objects in a file that Terrace does not manage. They would be lost if the artifact were adopted.
    pub(super) others: Vec<String>,
    /// The file that contains the artifact.
    pub(super) main: String,
    /// Files that repeat a part of the artifact for review, and are missing or edited.
    pub(super) edited: BTreeSet<String>,
    /// The reason why the file is not a valid manifest. `artifact` is then the artifact as it was last written.
    pub(super) unreadable: Option<String>,
}

impl Found {
    /// Returns the artifact as it is immediately after Terrace wrote it.
    pub(super) fn as_written(artifact: &Artifact) -> Found {
        Found {
            artifact: artifact.clone(),
            ours: true,
            adopted: false,
            others: Vec::new(),
            main: String::new(),
            edited: BTreeSet::new(),
            unreadable: None,
        }
    }

    /// Returns a digest of the artifact and of the state of its files.
    pub(super) fn digest(&self) -> Digest {
        let mut map = Map::new();
        map.insert("artifact", self.artifact.digest().as_str());
        let edited: Vec<Value> = self.edited.iter().map(|path| path.as_str().into()).collect();
        map.insert("edited", edited);
        map.insert("unreadable", self.unreadable.as_deref().map(Value::from));
        Digest::of_value(&Value::Map(map))
    }
}

impl Disk {
    /// Reads the directory.
    pub(super) fn look(folder: &Path, wanted: &Wanted<'_>) -> Result<Disk, Failure> {
        let mut frame = wanted.bundle.clone();
        frame.artifacts.clear();
        frame.assets.clear();
        let manifest = Manifest::read(folder)?.unwrap_or_default();
        let mut known: BTreeMap<&ArtifactId, (&Artifact, bool)> = BTreeMap::new();
        for artifact in wanted.dropped().chain(wanted.artifacts()) {
            known.insert(&artifact.id, (artifact, false));
        }
        for artifact in &manifest.artifacts {
            known.insert(&artifact.id, (artifact, true));
        }
        let mut mine = wanted.bundle.clone();
        mine.artifacts
            .retain(|artifact| artifact.target == *wanted.target);
        let mut reader = Reader {
            folder,
            manifest: &manifest,
            wanted: &mine,
            rendered: None,
            files: BTreeMap::new(),
        };
        let mut found = BTreeMap::new();
        for (id, (artifact, recorded)) in &known {
            if let Some(mut at) = reader.find(&frame, artifact, *recorded)? {
                at.adopted = manifest.adopted.contains(*id);
                at.ours &= !manifest.released.iter().any(|released| released.id == **id);
                found.insert((*id).clone(), at);
            }
        }
        for path in manifest.files.keys().chain(&manifest.claims) {
            reader.file(path)?;
        }
        // The next write deletes objects that another tool added to a managed file, so the plan must show them.
        for (path, file) in &reader.files {
            for (id, value) in file.strangers(wanted.target) {
                if let (Some(artifact), false) = (
                    unrecorded(&id, value, wanted.target, path),
                    found.contains_key(&id),
                ) {
                    found.insert(id, Found::as_written(&artifact));
                }
            }
        }
        let ours = reader.files.iter().filter(|(_, file)| file.ours);
        let digests = ours
            .filter_map(|(path, file)| Some((path.clone(), file.digest.clone()?)))
            .collect();
        Ok(Disk {
            digests,
            found,
            manifest,
        })
    }
}

/// Returns the files of an artifact, with the main file first.
pub(super) fn paths(frame: &Bundle, artifact: &Artifact) -> Vec<String> {
    let mut bundle = frame.clone();
    bundle.artifacts = vec![artifact.clone()];
    let mut paths: Vec<String> = files(&bundle).into_iter().map(|file| file.path).collect();
    paths.sort_by_key(|path| !(path.starts_with("kubernetes/") || path.starts_with("cloudformation/")));
    paths
}

/// Reads the files of a directory, each at most once.
struct Reader<'a> {
    folder: &'a Path,
    manifest: &'a Manifest,
    /// The desired artifacts of this target.
    wanted: &'a Bundle,
    /// The digests of the files that `wanted` renders to. Computed on first use.
    rendered: Option<BTreeMap<String, Digest>>,
    files: BTreeMap<String, OnDisk>,
}

/// A file of the directory.
struct OnDisk {
    /// The digest of the content; absent if the file does not exist.
    digest: Option<Digest>,
    /// Whether the content has the digest that the manifest records.
    same: bool,
    /// Whether Terrace manages the file.
    ours: bool,
    /// The documents in the file, or the reason why it is not valid YAML. Parsed only if the content differs from the record.
    content: Result<Vec<Value>, String>,
}

impl Reader<'_> {
    fn file(&mut self, path: &str) -> Result<&OnDisk, Failure> {
        if !self.files.contains_key(path) {
            let at = disk::place(self.folder, path)?;
            let bytes = match fs::read(&at) {
                Ok(bytes) => Some(bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(failed("read", &at, &error)),
            };
            let digest = bytes.as_deref().map(Digest::of_bytes);
            let same = digest.is_some() && self.manifest.files.get(path) == digest.as_ref();
            let content = match &bytes {
                Some(bytes) if !same => parse(bytes),
                _ => Ok(Vec::new()),
            };
            let mut ours = self.manifest.files.contains_key(path) || self.manifest.claims.contains(path);
            if !ours && let Some(digest) = &digest {
                // `.terrace` may be missing, for example in a fresh clone. A file with exactly the bytes that Terrace would
                // write is therefore a managed file.
                ours = self.rendered().get(path) == Some(digest);
            }
            let file = OnDisk {
                digest,
                same,
                ours,
                content,
            };
            self.files.insert(path.to_owned(), file);
        }
        Ok(&self.files[path])
    }

    fn rendered(&mut self) -> &BTreeMap<String, Digest> {
        let wanted = self.wanted;
        self.rendered.get_or_insert_with(|| {
            let files = files(wanted).into_iter();
            files
                .map(|file| (file.path, Digest::of_bytes(file.text.as_bytes())))
                .collect()
        })
    }

    /// Finds an artifact in the directory. `recorded` is whether the artifact comes from the manifest.
    fn find(
        &mut self,
        frame: &Bundle,
        artifact: &Artifact,
        recorded: bool,
    ) -> Result<Option<Found>, Failure> {
        let mut paths = paths(frame, artifact).into_iter();
        let Some(main) = paths.next() else {
            return Ok(None);
        };
        let wanted = self.wanted;
        let file = self.file(&main)?;
        let (same, ours) = (file.same, file.ours);
        let mut found = match (same, &file.digest, &file.content) {
            (_, None, _) => return Ok(None),
            (true, ..) if recorded => Found::as_written(artifact),
            (true, ..) => return Ok(None),
            (false, _, Err(why)) => Found {
                unreadable: Some(why.clone()),
                ..Found::as_written(artifact)
            },
            (false, _, Ok(values)) => match read_back(artifact, values) {
                Some(artifact) => Found::as_written(&artifact),
                None if ours => return Ok(None),
                // Writing the artifact would overwrite this file, although it does not contain the artifact.
                None => Found::as_written(artifact),
            },
        };
        found.ours = ours;
        if let (false, Ok(values)) = (ours, &file.content) {
            let ids = values
                .iter()
                .filter_map(|value| object_id(&artifact.target, value));
            let others = ids.filter(|id| wanted.artifact(id).is_none());
            found.others = others.map(|id| id.to_string()).collect();
        }
        found.main = main;
        for path in paths {
            if !self.file(&path)?.same && recorded {
                found.edited.insert(path);
            }
        }
        Ok(Some(found))
    }
}

impl OnDisk {
    /// Returns the objects in a managed file that was edited.
    fn strangers(&self, target: &str) -> impl Iterator<Item = (ArtifactId, &Value)> {
        let values: &[Value] = match &self.content {
            Ok(values) if self.ours && !self.same => values,
            _ => &[],
        };
        values
            .iter()
            .filter_map(move |value| Some((object_id(target, value)?, value)))
    }
}

/// Parses the documents of a YAML or JSON file.
fn parse(bytes: &[u8]) -> Result<Vec<Value>, String> {
    // The parser reports an empty file with a message about Rust types.
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().map(str::trim_start);
    if lines.all(|line| line.is_empty() || line.starts_with('#')) {
        return Err("it contains no document".to_owned());
    }
    let mut values = Vec::new();
    for document in yaml_serde::Deserializer::from_slice(bytes) {
        let value = Value::deserialize(document).map_err(|error| error.to_string())?;
        if value != Value::Null {
            values.push(value);
        }
    }
    Ok(values)
}

/// Reads an artifact from an edited file. Returns nothing if the file does not contain it.
fn read_back(artifact: &Artifact, values: &[Value]) -> Option<Artifact> {
    let body = match &artifact.body {
        Body::Object(object) => {
            let twin = values
                .iter()
                .find(|value| object_id(&artifact.target, value).as_ref() == Some(&artifact.id))?;
            Body::Object(Object {
                manifest: twin.clone(),
                bindings: Vec::new(),
                ..object.clone()
            })
        }
        Body::Stack(stack) => Body::Stack(CloudFormationStack {
            template: values.first()?.clone(),
            ..stack.clone()
        }),
    };
    Some(Artifact {
        body,
        ..artifact.clone()
    })
}

fn object_id(target: &str, value: &Value) -> Option<ArtifactId> {
    let text = |path: &[&str]| value.at(path).and_then(Value::as_str);
    Some(ArtifactId::object(
        target,
        text(&["apiVersion"])?,
        text(&["kind"])?,
        text(&["metadata", "namespace"]),
        text(&["metadata", "name"])?,
    ))
}

/// Creates the artifact of an object that another tool added to a managed file. Its address is that in its annotation, or else
/// an address in the component of the file.
fn unrecorded(id: &ArtifactId, value: &Value, target: &Text, path: &str) -> Option<Artifact> {
    let text = |path: &[&str]| value.at(path).and_then(Value::as_str);
    let mut parts = path.trim_end_matches(".yaml").rsplit('/');
    let (component, owner) = (parts.next()?, parts.next()?);
    let annotated = text(&["metadata", "annotations", ADDRESS]).and_then(|address| address.parse().ok());
    let name = text(&["metadata", "name"])?;
    let address = annotated.unwrap_or_else(|| terrace_artifact::Address {
        owner: owner.into(),
        component: component.into(),
        resource: name.into(),
        key: None,
    });
    // The annotation records whether the object holds data.
    let mark = text(&[
        "metadata",
        "annotations",
        terrace_deployer_model::live::HOLDS_DATA,
    ])
    .map(|mark| mark == "true");
    Some(Artifact {
        id: id.clone(),
        target: target.clone(),
        needs: BTreeSet::new(),
        body: Body::Object(Object {
            address,
            origin: Origin::default(),
            api_version: text(&["apiVersion"])?.into(),
            kind: text(&["kind"])?.into(),
            namespace: text(&["metadata", "namespace"]).map(Text::from),
            name: name.into(),
            manifest: value.clone(),
            bindings: Vec::new(),
            holds_data: terrace_deployer_model::loss::object_holds_data(value, mark),
        }),
    })
}
