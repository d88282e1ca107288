//! The directory backend: it renders artifacts to files in a directory, for Argo CD, Flux or a reviewer.
//!
//! `.terrace/manifest.json` in the directory names the files that Terrace manages, with their digests and the artifacts that
//! they were rendered from. A file whose digest has not changed is not parsed. An edited file is parsed, and the plan shows
//! the edit as a change. Terrace never changes files that it does not manage, unless the user adopts them.

mod change;
mod disk;
mod fault;
mod manifest;
mod state_store;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use terrace_artifact::{
    Address, Artifact, ArtifactId, Body, Bundle, Digest, Owner, Segment, Text, Value, files,
};
use terrace_deployer_model::access::Access;
use terrace_deployer_model::backend::{
    Backend, Connected, Intent, Observation, PreviewOptions, Ticket, Wanted, Write,
};
use terrace_deployer_model::failure::{Failure, FailureKind};
use terrace_deployer_model::journal::Journal;
use terrace_deployer_model::live::{Basis, Identity, Live};
use terrace_deployer_model::ownership::Ownership;
use terrace_deployer_model::plan::Change;
use terrace_deployer_model::subject::Subject;
use terrace_deployer_model::values::Values;

use manifest::{Disk, Found, Manifest, paths};
pub use state_store::DirectoryStateStore;

/// The name of the directory with Terrace's own files, in the target's directory.
pub(crate) const STATE: &str = ".terrace";

/// Connects to the directory at `path`, relative to the stack's directory. `label` is the bundle's
/// ([`terrace_artifact::Bundle::label`]).
pub fn connect<'a>(
    access: &'a Access,
    path: &'a Text,
    label: &'a str,
) -> BoxFuture<'a, Result<Connected, Failure>> {
    let folder = access.folder.join(path.as_str());
    let home = DirectoryStateStore {
        folder: folder.clone(),
    };
    let connected = Connected {
        backend: Box::new(Directory::new(folder, label.to_owned())),
        home: Box::new(home.clone()),
        claims: Box::new(home),
    };
    Box::pin(async { Ok(connected) })
}

/// A directory as a target of one environment.
pub(crate) struct Directory {
    folder: PathBuf,
    label: String,
    /// The contents of the directory when it was last observed.
    disk: Mutex<Arc<Disk>>,
    writing: Mutex<Writing>,
}

/// An apply in progress.
#[derive(Default)]
struct Writing {
    /// The bundle without artifacts. Files are rendered with its targets and environment.
    frame: Option<Bundle>,
    /// The contents of the managed files, by tenant and component.
    components: BTreeMap<ComponentName, Component>,
    /// The digests of the managed files on the disk.
    on_disk: BTreeMap<String, Digest>,
    /// The digests that the manifest will record. An edited file that this apply does not write keeps its old digest, so that
    /// the next plan still shows the edit.
    recorded: BTreeMap<String, Digest>,
    /// The former names of each renamed component. Their files are deleted when the component is written.
    renamed: BTreeMap<ComponentName, BTreeSet<ComponentName>>,
    /// The adopted artifacts in managed files.
    adopted: BTreeSet<ArtifactId>,
    /// The retained artifacts in managed files. They stay in the file, but Terrace no longer manages them.
    released: BTreeSet<ArtifactId>,
}

/// The owner and the name of a component.
type ComponentName = (Owner, Text);

fn component_of(artifact: &Artifact) -> ComponentName {
    let (owner, component) = artifact.component();
    (owner.clone(), component.clone())
}

/// The artifacts of a component in the directory. The objects of a component share one file.
#[derive(Default)]
struct Component {
    artifacts: BTreeMap<ArtifactId, Artifact>,
    /// The files of the component, before and after the apply.
    paths: BTreeSet<String>,
}

impl Writing {
    fn component(&mut self, artifact: &Artifact) -> &mut Component {
        self.components.entry(component_of(artifact)).or_default()
    }

    fn paths(&self) -> BTreeSet<&String> {
        self.components
            .values()
            .flat_map(|component| &component.paths)
            .collect()
    }
}

impl Directory {
    /// Creates the backend of a target. `label` names the environment, such as `acme.development`.
    pub(crate) fn new(folder: PathBuf, label: String) -> Directory {
        Directory {
            folder,
            label,
            disk: Mutex::default(),
            writing: Mutex::default(),
        }
    }

    fn disk(&self) -> Arc<Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds an artifact to a component, or removes it if `artifact` is absent, and writes the component's files. If the write
    /// fails, the component is restored, so that the manifest records the actual contents of the files.
    fn change(
        &self,
        writing: &mut Writing,
        of: &ComponentName,
        id: &ArtifactId,
        artifact: Option<Artifact>,
    ) -> Result<(), Failure> {
        let set = |writing: &mut Writing, artifact: Option<Artifact>| {
            let artifacts = &mut writing.components.entry(of.clone()).or_default().artifacts;
            match artifact {
                Some(artifact) => artifacts.insert(id.clone(), artifact),
                None => artifacts.remove(id),
            }
        };
        let before = set(writing, artifact);
        self.write_component(writing, of).inspect_err(|_| {
            set(writing, before);
        })
    }

    /// Writes the files of a component, and then those under its former names, which deletes them.
    fn write_component(&self, writing: &mut Writing, of: &ComponentName) -> Result<(), Failure> {
        self.write_files(writing, of)?;
        for former in writing.renamed.remove(of).unwrap_or_default() {
            self.write_files(writing, &former)?;
        }
        Ok(())
    }

    fn write_files(&self, writing: &mut Writing, of: &ComponentName) -> Result<(), Failure> {
        let Some(mut bundle) = writing.frame.clone() else {
            return Err(Failure::new(
                FailureKind::Broken,
                "Terrace tried to write a file before the apply began; this is a bug in Terrace, please report it",
            ));
        };
        let component = writing.components.entry(of.clone()).or_default();
        bundle.artifacts = component.artifacts.values().cloned().collect();
        let rendered = files(&bundle);
        let gone = component
            .paths
            .iter()
            .filter(|path| !rendered.iter().any(|file| file.path == **path));
        for path in gone.cloned().collect::<Vec<_>>() {
            let at = disk::place(&self.folder, &path)?;
            disk::remove(&at, &self.folder).map_err(|error| failed("delete", &at, &error))?;
            writing.on_disk.remove(&path);
            writing.recorded.remove(&path);
        }
        for file in rendered {
            let digest = Digest::of_bytes(file.text.as_bytes());
            if writing.on_disk.get(&file.path) != Some(&digest) {
                let at = disk::place(&self.folder, &file.path)?;
                disk::replace(&at, file.text.as_bytes()).map_err(|error| failed("write", &at, &error))?;
                writing.on_disk.insert(file.path.clone(), digest.clone());
            }
            writing.recorded.insert(file.path, digest);
        }
        Ok(())
    }
}

impl Backend for Directory {
    fn identify(&self) -> BoxFuture<'_, Result<Identity, Failure>> {
        Box::pin(async move {
            let manifest = Manifest::read(&self.folder)?;
            if let Some(owner) = manifest
                .map(|manifest| manifest.stack)
                .filter(|owner| *owner != self.label)
            {
                let message = format!(
                    "directory `{}` belongs to `{owner}`, not to `{}`",
                    self.folder.display(),
                    self.label
                );
                return Err(Failure::new(FailureKind::WrongTarget, message)
                    .hint("give each environment its own `directory`"));
            }
            let shown = self.folder.strip_prefix(".").unwrap_or(&self.folder).display();
            Ok(Identity {
                kind: "directory".into(),
                id: self.label.as_str().into(),
                shown: format!("directory {shown}").into(),
            })
        })
    }

    fn observe<'a>(&'a self, wanted: &'a Wanted<'a>) -> BoxFuture<'a, Result<Vec<Live>, Failure>> {
        Box::pin(async move {
            let disk = Disk::look(&self.folder, wanted)?;
            let live = disk.found.iter().map(|(id, found)| live(id, found)).collect();
            *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(disk);
            Ok(live)
        })
    }

    fn preview<'a>(
        &'a self,
        artifact: &'a Artifact,
        live: Option<&'a Live>,
        values: &'a Values,
        _: &'a PreviewOptions,
    ) -> BoxFuture<'a, Result<Change, Failure>> {
        Box::pin(async move {
            let disk = self.disk();
            let found = live.and_then(|live| disk.found.get(&live.id));
            change::preview(artifact, found, values)
        })
    }

    fn attribute(&self, _: &[Segment], _: &Live, _: Option<&Change>) -> Option<Value> {
        None
    }

    fn fills_late_values(&self) -> bool {
        false
    }

    fn removal(&self, live: &Live) -> Change {
        change::removal(self.disk().found.get(&live.id), live)
    }

    fn begin<'a>(&'a self, intent: &'a Intent<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let disk = self.disk();
            let mut frame = intent.bundle.clone();
            let wanted = std::mem::take(&mut frame.artifacts);
            frame.assets.clear();
            let ours = disk.found.iter().filter(|(_, found)| found.ours);
            let mut writing = Writing {
                on_disk: disk.digests.clone(),
                recorded: disk.manifest.files.clone(),
                adopted: disk.manifest.adopted.clone(),
                ..Writing::default()
            };
            for artifact in &disk.manifest.released {
                writing.released.insert(artifact.id.clone());
                let component = writing.component(artifact);
                component.paths.extend(paths(&frame, artifact));
                component.artifacts.insert(artifact.id.clone(), artifact.clone());
            }
            let written = || {
                wanted
                    .iter()
                    .filter(|artifact| intent.writes.contains(&artifact.id))
            };
            let owners: BTreeSet<ComponentName> = written().map(component_of).collect();
            let now: BTreeMap<&ArtifactId, &Artifact> =
                wanted.iter().map(|artifact| (&artifact.id, artifact)).collect();
            for (id, found) in ours {
                writing
                    .component(&found.artifact)
                    .paths
                    .extend(paths(&frame, &found.artifact));
                let mut artifact = found.artifact.clone();
                // All artifacts of a renamed component move together with the first one that is written.
                if let Some(wanted) = now.get(id)
                    && component_of(wanted) != component_of(&artifact)
                    && owners.contains(&component_of(wanted))
                {
                    let renamed = writing.renamed.entry(component_of(wanted)).or_default();
                    renamed.insert(component_of(&artifact));
                    belongs_to(&mut artifact, wanted);
                }
                let component = writing.component(&artifact);
                component.paths.extend(paths(&frame, &artifact));
                component.artifacts.insert(id.clone(), artifact);
            }
            for artifact in written() {
                writing.component(artifact).paths.extend(paths(&frame, artifact));
                if disk.found.get(&artifact.id).is_some_and(|found| !found.ours) {
                    writing.adopted.insert(artifact.id.clone());
                }
            }
            // The record is written before the first file, so that an apply after a crash knows which files are managed.
            let mut before = disk.manifest.clone();
            before.stack.clone_from(&self.label);
            before.adopted.clone_from(&writing.adopted);
            let paths = writing.paths();
            before.claims.extend(paths.iter().map(|path| (*path).clone()));
            before.write(&self.folder)?;
            let folders: BTreeSet<_> = paths.iter().filter_map(|path| Path::new(path).parent()).collect();
            for folder in folders {
                disk::sweep(&self.folder.join(folder));
            }
            writing.frame = Some(frame);
            *self.writing.lock().unwrap_or_else(PoisonError::into_inner) = writing;
            Ok(())
        })
    }

    fn write<'a>(&'a self, write: Write<'a>) -> BoxFuture<'a, Result<Ticket, Failure>> {
        Box::pin(async move {
            let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut artifact = write.artifact.clone();
            if let Body::Object(object) = &mut artifact.body {
                object.manifest = write.values.fill(object).manifest;
            }
            let id = artifact.id.clone();
            self.change(&mut writing, &component_of(write.artifact), &id, Some(artifact))?;
            writing.released.remove(&id);
            Ok(Ticket::default())
        })
    }

    fn delete<'a>(&'a self, live: &'a Live, _: &'a Journal<'a>) -> BoxFuture<'a, Result<Ticket, Failure>> {
        Box::pin(async move {
            let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let disk = self.disk();
            if let Some(found) = disk.found.get(&live.id) {
                self.change(&mut writing, &component_of(&found.artifact), &live.id, None)?;
                writing.adopted.remove(&live.id);
            }
            Ok(Ticket::default())
        })
    }

    /// Retains an artifact: its manifest stays in its file.
    fn release<'a>(&'a self, live: &'a Live, _: &'a Journal<'a>) -> BoxFuture<'a, Result<Ticket, Failure>> {
        Box::pin(async move {
            let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            writing.adopted.remove(&live.id);
            writing.released.insert(live.id.clone());
            Ok(Ticket::default())
        })
    }

    fn look<'a>(
        &'a self,
        id: &'a ArtifactId,
        artifact: Option<&'a Artifact>,
        _: &'a Ticket,
    ) -> BoxFuture<'a, Result<Observation, Failure>> {
        Box::pin(async move {
            let settled = |artifact: &Artifact| live(id, &Found::as_written(artifact));
            Ok(artifact.map_or(Observation::Gone, |artifact| {
                Observation::Settled(Box::new(settled(artifact)))
            }))
        })
    }

    fn finish(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let mut writing =
                std::mem::take(&mut *self.writing.lock().unwrap_or_else(PoisonError::into_inner));
            if writing.frame.is_none() {
                return Ok(());
            }
            let paths: BTreeSet<String> = writing.paths().into_iter().cloned().collect();
            // A killed apply may have written files that this apply did not change.
            for (path, digest) in writing.on_disk.iter().filter(|(path, _)| paths.contains(*path)) {
                let recorded = writing.recorded.entry(path.clone());
                recorded.or_insert_with(|| digest.clone());
            }
            // A killed apply may have left files that no component has.
            let left = writing.on_disk.keys().filter(|path| !paths.contains(*path));
            for path in left.cloned().collect::<Vec<_>>() {
                let at = disk::place(&self.folder, &path)?;
                disk::remove(&at, &self.folder).map_err(|error| failed("delete", &at, &error))?;
                writing.recorded.remove(&path);
            }
            let (mut artifacts, mut released) = (Vec::new(), Vec::new());
            for component in writing.components.into_values() {
                let (retained, managed): (Vec<Artifact>, Vec<Artifact>) = component
                    .artifacts
                    .into_values()
                    .partition(|artifact| writing.released.contains(&artifact.id));
                if managed.is_empty() {
                    // Terrace no longer manages anything in these files. They stay unchanged.
                    writing.recorded.retain(|path, _| !component.paths.contains(path));
                } else {
                    artifacts.extend(managed);
                    released.extend(retained);
                }
            }
            let manifest = Manifest {
                stack: self.label.clone(),
                files: writing.recorded,
                claims: BTreeSet::new(),
                artifacts,
                adopted: writing.adopted,
                released,
                ..Manifest::default()
            };
            manifest.write(&self.folder)
        })
    }
}

/// Moves an artifact to the component of `now`, which has the same id.
fn belongs_to(artifact: &mut Artifact, now: &Artifact) {
    match (&mut artifact.body, &now.body) {
        (Body::Object(before), Body::Object(now)) => before.address = now.address.clone(),
        (Body::Stack(before), Body::Stack(now)) => {
            before.owner.clone_from(&now.owner);
            before.component.clone_from(&now.component);
        }
        _ => {}
    }
}

/// Converts an artifact of the directory to the form that the engine uses for live objects.
fn live(id: &ArtifactId, found: &Found) -> Live {
    let mut needs = BTreeSet::new();
    needs.extend(found.artifact.needs.iter().cloned());
    Live {
        id: id.clone(),
        subject: Subject::of(&found.artifact),
        ownership: if found.ours {
            Ownership::Ours {
                marked: true,
                adopted: found.adopted,
            }
        } else {
            Ownership::Foreign(None)
        },
        // A file has no physical identity. The manifest itself proves the ownership.
        identity: Text::default(),
        notes: Vec::new(),
        basis: Basis(BTreeMap::from([(
            "content".into(),
            Value::from(found.digest().short()),
        )])),
        addresses: found.artifact.addresses(),
        holds_data: holds_data(&found.artifact),
        needs,
        value: Value::Null,
    }
}

fn holds_data(artifact: &Artifact) -> Vec<Address> {
    match &artifact.body {
        Body::Object(object) if object.holds_data => vec![object.address.clone()],
        Body::Object(_) => Vec::new(),
        Body::Stack(stack) => {
            let holding = stack.members.values().filter(|member| member.holds_data);
            holding.map(|member| member.address.clone()).collect()
        }
    }
}

/// Converts an error of the file system.
fn failed(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot {verb} `{}`", path.display());
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => FailureKind::Denied {
            verb: verb.into(),
            resource: path.display().to_string().into(),
            rule: None,
        },
        _ => FailureKind::Rejected,
    };
    Failure::new(kind, message).server(error.to_string())
}

#[cfg(test)]
mod tests;
