//! What a folder holds, and what of it is ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use terrace_artifact::{
    Artifact, ArtifactId, Body, Bundle, Digest, Map, Object, Origin, Stack, Text, Value, files,
};

use super::{STATE, disk, failed};
use crate::backend::{ADDRESS, Wanted};
use crate::failure::{Failure, FailureKind};

/// `.terrace/manifest.json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Always [`FORMAT`].
    pub(super) format: Text,
    /// The label of whose folder it is: `acme.development`.
    pub(super) stack: String,
    /// The files we wrote, as we wrote them.
    pub(super) files: BTreeMap<String, Digest>,
    /// Files an apply was about to write; there are some only while one runs, or after it was killed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) claims: BTreeSet<String>,
    /// What the files were written from.
    pub(super) artifacts: Vec<Artifact>,
    /// Those of `artifacts` that were there before us and were adopted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) adopted: BTreeSet<ArtifactId>,
    /// What was adopted once and released while others in its file are ours: the file keeps it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) released: Vec<Artifact>,
}

const FORMAT: &str = "terrace-directory/1";
const FILE: &str = "manifest.json";

impl Manifest {
    /// Reads it; there is none in a folder that was never applied to.
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
                format!("`{}` cannot be read: {why}", path.display()),
            )
            .hint("restore it from version control, or move the directory away and apply again")
        };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(broken(format!(
                "it is of format `{}`, not `{FORMAT}`",
                manifest.format
            )));
        }
        Ok(Some(manifest))
    }

    /// Writes it.
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

/// What a folder holds.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) manifest: Manifest,
    /// The digests of the files that are ours or claimed, as they are.
    pub(super) digests: BTreeMap<String, Digest>,
    /// The artifacts that are there.
    pub(super) found: BTreeMap<ArtifactId, Found>,
}

/// An artifact that is there.
pub(super) struct Found {
    /// As it is on the disk.
    pub(super) artifact: Artifact,
    /// Whether its files are ours.
    pub(super) ours: bool,
    /// Whether it was adopted.
    pub(super) adopted: bool,
    /// What else is in a file that is not ours, and would be lost with its adoption.
    pub(super) others: Vec<String>,
    /// The file it is in.
    pub(super) main: String,
    /// Files of it that repeat for review what the main one says, and are missing or edited.
    pub(super) edited: BTreeSet<String>,
    /// Why its file cannot be read back; what is known is then what was written.
    pub(super) unreadable: Option<String>,
}

impl Found {
    /// As it is right after it was written.
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

    /// Stands for all that is seen of it.
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
    /// Reads a folder.
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
        // Objects that somebody else put into a file of ours would be lost with the next write; so they are seen.
        for (path, file) in &reader.files {
            for (id, value) in file.strangers(wanted.target) {
                if let (Some(artifact), false) =
                    (stranger(&id, value, wanted.target, path), found.contains_key(&id))
                {
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

/// The files an artifact is in, its main one first.
pub(super) fn paths(frame: &Bundle, artifact: &Artifact) -> Vec<String> {
    let mut bundle = frame.clone();
    bundle.artifacts = vec![artifact.clone()];
    let mut paths: Vec<String> = files(&bundle).into_iter().map(|file| file.path).collect();
    paths.sort_by_key(|path| !(path.starts_with("kubernetes/") || path.starts_with("cloudformation/")));
    paths
}

struct Reader<'a> {
    folder: &'a Path,
    manifest: &'a Manifest,
    /// What this target gets, and the digests of its files once somebody asked for them.
    wanted: &'a Bundle,
    rendered: Option<BTreeMap<String, Digest>>,
    files: BTreeMap<String, OnDisk>,
}

/// One file.
struct OnDisk {
    /// Absent where the file is.
    digest: Option<Digest>,
    /// As the manifest says it was written.
    same: bool,
    ours: bool,
    /// What is in it; read only where it is not the same.
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
                // Our own state may not have come along, into a fresh clone for one. What is to the byte what we
                // would write is ours.
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

    /// What there is of an artifact; `recorded` says that it is the manifest's own word of it.
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
                // The file would be overwritten all the same.
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
    /// The objects in an edited file of ours.
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

/// The documents of a YAML or JSON file.
fn parse(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let mut values = Vec::new();
    for document in serde_yaml::Deserializer::from_slice(bytes) {
        let value = Value::deserialize(document).map_err(|error| error.to_string())?;
        if value != Value::Null {
            values.push(value);
        }
    }
    Ok(values)
}

/// An artifact as an edited file has it; absent where the file lacks it.
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
        Body::Stack(stack) => Body::Stack(Stack {
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

/// An object that nobody recorded, in a file of ours. Its address is what it says itself, or else the file's.
fn stranger(id: &ArtifactId, value: &Value, target: &Text, path: &str) -> Option<Artifact> {
    let text = |path: &[&str]| value.at(path).and_then(Value::as_str);
    let mut parts = path.trim_end_matches(".yaml").rsplit('/');
    let (component, tenant) = (parts.next()?, parts.next()?);
    let said = text(&["metadata", "annotations", ADDRESS]).and_then(|address| address.parse().ok());
    let name = text(&["metadata", "name"])?;
    let address = said.unwrap_or_else(|| terrace_artifact::Address {
        tenant: tenant.into(),
        component: component.into(),
        resource: name.into(),
        key: None,
    });
    // The file is as we wrote it: what it says was released.
    let mark = text(&["metadata", "annotations", crate::backend::HOLDS_DATA]).map(|mark| mark == "true");
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
            holds_data: crate::loss::object_holds_data(value, mark),
        }),
    })
}
