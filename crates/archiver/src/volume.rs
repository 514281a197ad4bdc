// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Finds the volume of a path, and its configuration according to glusterd.

use std::collections::BTreeMap;
use std::fs;
use std::net::{ToSocketAddrs, UdpSocket};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use cloudsync_format::object;

use crate::child;
use crate::exit::Error;

pub(crate) mod folder;
pub(crate) mod mount;

/// A volume, from the output of `gluster volume info`.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) name: String,
    /// Its id (UUID), as text.
    pub(crate) id: String,
    /// The server to fetch the volume's graph from.
    pub(crate) server: String,
    /// The options that are set, by full name.
    pub(crate) options: BTreeMap<String, String>,
    /// Its bricks, as host and path.
    pub(crate) bricks: Vec<(String, PathBuf)>,
    /// How many bricks have the same files, or fragments of them.
    pub(crate) set: usize,
    /// Whether its bricks have fragments of files.
    pub(crate) erasure_coded: bool,
}

/// The kind of path that the command line gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In a brick.
    Brick,
    /// In a mount.
    Mount,
}

/// A path of the command line.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) volume: Volume,
    pub(crate) kind: Kind,
    /// The root of the brick, or the mount point.
    pub(crate) root: PathBuf,
    /// The path of `root` from the root of the volume; not empty only if a subdirectory is mounted.
    pub(crate) above: PathBuf,
    /// The path that was given, relative to `root`.
    pub(crate) below: PathBuf,
}

const VOLUME_ID: &str = "trusted.glusterfs.volume-id";

impl Target {
    /// The path that was given.
    pub(crate) fn start(&self) -> PathBuf {
        self.root.join(&self.below)
    }

    /// Finds the volume that `path` belongs to, by the volume id on the brick or by the mount table.
    pub(crate) fn find(path: &Path) -> Result<Self, Error> {
        let given = path.display();
        let path = path
            .canonicalize()
            .map_err(|error| Error::start(given, error))?;
        for root in path.ancestors() {
            let id = xattr::get(root, VOLUME_ID).ok().flatten();
            if let Some(id) = id.and_then(|id| id.try_into().ok()) {
                let volume = Volume::find(&format!("brick {}", root.display()), None, |volume| {
                    volume.id == object::uuid(id)
                })?;
                return Ok(Self::new(volume, Kind::Brick, root, PathBuf::new(), &path));
            }
        }
        let mounted = mounted(&path)?;
        let Mounted {
            root,
            server,
            name,
            above,
        } = mounted.ok_or_else(|| {
            Error::Start(format!(
                "{}: neither in a brick (no {VOLUME_ID} above it) nor in a GlusterFS mount",
                path.display()
            ))
        })?;
        let what = format!("mount {}", root.display());
        let volume = Volume::find(&what, Some(&server), |volume| volume.name == name)?;
        Ok(Self::new(volume, Kind::Mount, &root, above, &path))
    }

    fn new(volume: Volume, kind: Kind, root: &Path, above: PathBuf, path: &Path) -> Self {
        Self {
            volume,
            kind,
            root: root.to_owned(),
            above,
            below: path.strip_prefix(root).unwrap_or(Path::new("")).to_owned(),
        }
    }

    /// Converts a path below `root` into one from the root of the volume.
    pub(crate) fn in_volume(&self, below_root: &Path) -> PathBuf {
        self.above.join(below_root)
    }
}

/// Whether a path from a volume's root leads nowhere else: it comes from the store.
pub(crate) fn is_within(path: &Path) -> bool {
    let mut parts = path.components();
    parts.all(|part| matches!(part, Component::Normal(_)))
}

/// The name of the volume of a mount or a brick. That of a mount is known without glusterd, which clients do not have.
pub(crate) fn name_of(path: &Path) -> Result<String, Error> {
    let found = path.canonicalize();
    let found = found.map_err(|error| Error::start(path.display(), error))?;
    match mounted(&found)? {
        Some(mount) => Ok(mount.name),
        None => Ok(Target::find(path)?.volume.name),
    }
}

/// The path from the root of the volume of a path in a mount.
pub(crate) fn in_volume(path: &Path) -> Result<PathBuf, Error> {
    let found = path.canonicalize();
    let found = found.map_err(|error| Error::start(path.display(), error))?;
    let mount = mounted(&found)?
        .ok_or_else(|| Error::Start(format!("{}: not in a GlusterFS mount", path.display())))?;
    let below = found.strip_prefix(&mount.root).unwrap_or(&found);
    Ok(mount.above.join(below))
}

/// A GlusterFS mount.
#[derive(Debug, PartialEq, Eq)]
struct Mounted {
    root: PathBuf,
    server: String,
    name: String,
    above: PathBuf,
}

/// The mount that contains the path, if it is a GlusterFS mount.
fn mounted(path: &Path) -> Result<Option<Mounted>, Error> {
    let text = mount_table()?;
    // Of several mounts on one point, the last is on top.
    let rows = text.lines().filter_map(row);
    let holding = rows.filter(|(root, ..)| path.starts_with(root));
    let nearest = holding.max_by_key(|(root, ..)| root.as_os_str().len());
    Ok(nearest.and_then(|(root, kind, source)| {
        if kind != "fuse.glusterfs" {
            return None;
        }
        let (server, volume) = source.rsplit_once(':')?;
        let volume = volume.trim_start_matches('/');
        let (name, above) = volume.split_once('/').unwrap_or((volume, ""));
        Some(Mounted {
            root,
            server: server.to_owned(),
            name: name.to_owned(),
            above: PathBuf::from(above),
        })
    }))
}

/// Where a volume is mounted on this host; only whole volumes, since the client answers at the volume's root.
pub(crate) fn mounts_of(name: &str) -> Result<Vec<PathBuf>, Error> {
    let table = mount_table()?;
    let rows = table.lines().filter_map(row);
    let mounts = rows.filter(|(_, kind, source)| {
        let volume = source.rsplit_once(':').map(|(_, volume)| volume);
        *kind == "fuse.glusterfs"
            && volume.map(|volume| volume.trim_start_matches('/')) == Some(name)
    });
    Ok(mounts.map(|(root, ..)| root).collect())
}

fn mount_table() -> Result<String, Error> {
    let table = "/proc/self/mountinfo";
    fs::read_to_string(table).map_err(|error| Error::start(table, error))
}

/// Mount point, type and source of a line of mountinfo (proc_pid_mountinfo(5)).
fn row(line: &str) -> Option<(PathBuf, &str, String)> {
    let (front, back) = line.split_once(" - ")?;
    let root = unescape(front.split(' ').nth(4)?);
    let mut back = back.split(' ');
    let (kind, source) = (back.next()?, back.next()?);
    Some((PathBuf::from(root), kind, unescape(source)))
}

/// The kernel escapes blanks and some other characters in octal, such as `\040`.
fn unescape(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

impl Volume {
    /// Queries glusterd, on this host or at `server`, for the volume that `wanted` accepts.
    fn find(
        what: &str,
        server: Option<&str>,
        wanted: impl Fn(&Self) -> bool,
    ) -> Result<Self, Error> {
        /// `gluster volume info` queries one volume after the other, and its list is incomplete if one is deleted
        /// meanwhile.
        const ATTEMPTS: usize = 3;
        let mut failure = String::new();
        let local = (None, "localhost");
        let hosts = [Some(local), server.map(|server| (Some(server), server))];
        for _ in 0..ATTEMPTS {
            let mut listed = false;
            for (remote, name) in hosts.into_iter().flatten() {
                match info(remote) {
                    Ok(text) => match parse(&text, name).into_iter().find(&wanted) {
                        Some(volume) => return Ok(volume),
                        None => {
                            listed = true;
                            failure = "glusterd has no such volume".to_owned();
                        }
                    },
                    Err(error) => failure = error,
                }
            }
            if !listed {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        Err(Error::start(what, failure))
    }

    /// Finds a volume by name, with this host's glusterd.
    pub(crate) fn named(name: &str) -> Result<Self, Error> {
        Self::find(&format!("volume {name}"), None, |volume| {
            volume.name == name
        })
    }

    /// Finds a volume by its name, or by a path in one of its mounts or bricks.
    pub(crate) fn of(target: &str) -> Result<Self, Error> {
        if target.contains('/') {
            Ok(Target::find(Path::new(target))?.volume)
        } else {
            Self::named(target)
        }
    }

    /// The value of an option, by its name without `features.`; `None` if it is not set.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        let full = format!("features.{name}");
        self.options.get(&full).map(String::as_str)
    }

    /// All bricks of the volume, if they are all on this host.
    pub(crate) fn bricks_here(&self) -> Option<Vec<PathBuf>> {
        let here = self.bricks_of_this_host();
        (!here.is_empty() && here.len() == self.bricks.len()).then_some(here)
    }

    /// The bricks of the volume that are on this host.
    pub(crate) fn bricks_of_this_host(&self) -> Vec<PathBuf> {
        let ours = |root: &Path| {
            let id = xattr::get(root, VOLUME_ID).ok().flatten();
            let id = id.and_then(|id| id.try_into().ok());
            id.is_some_and(|id| object::uuid(id) == self.id)
        };
        let here = |(host, root): &&(String, PathBuf)| is_here(host) && ours(root);
        let here = self.bricks.iter().filter(here);
        here.map(|(_, root)| root.clone()).collect()
    }

    /// The number of the set of bricks, with the same files, that a brick of this host belongs to.
    pub(crate) fn set_of(&self, root: &Path) -> Option<usize> {
        let is_it = |(host, path): &(String, PathBuf)| path == root && is_here(host);
        Some(self.bricks.iter().position(is_it)? / self.set)
    }

    /// Whether features.cloudsync is on, so that the volume's clients have the translator.
    pub(crate) fn archives(&self) -> bool {
        self.is_on("features.cloudsync")
    }

    /// Whether a boolean option that is off by default is on, by its full name.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        let on = ["on", "yes", "true", "enable", "1"];
        self.options
            .get(name)
            .is_some_and(|value| on.contains(&value.as_str()))
    }

    /// Whether the volume keeps the times of files itself (features.ctime, on by default).
    pub(crate) fn keeps_times(&self) -> bool {
        !matches!(
            self.option("ctime"),
            Some("off" | "no" | "false" | "disable" | "0")
        )
    }
}

fn info(server: Option<&str>) -> Result<String, String> {
    gluster(server, &["volume", "info"])
}

/// Runs a `gluster` command, on this host or at `server`. Returns its trimmed output, or an error that names the
/// command.
pub(crate) fn gluster(server: Option<&str>, words: &[&str]) -> Result<String, String> {
    let mut command = child::command("gluster");
    command.arg("--mode=script");
    if let Some(server) = server {
        command.arg(format!("--remote-host={server}"));
    }
    let output = command
        .args(words)
        .output()
        .map_err(|error| format!("cannot run gluster: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let output = [text(&output.stderr), text(&output.stdout)].join(" ");
    Err(format!("gluster {}: {}", words.join(" "), output.trim()))
}

/// Parses the output of `gluster volume info`.
fn parse(text: &str, server: &str) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    let mut options = false;
    for line in text.lines().map(str::trim) {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if key == "Volume Name" {
            options = false;
            volumes.push(Volume {
                name: value.to_owned(),
                id: String::new(),
                server: server.to_owned(),
                options: BTreeMap::new(),
                bricks: Vec::new(),
                set: 1,
                erasure_coded: false,
            });
        }
        let Some(volume) = volumes.last_mut() else {
            continue;
        };
        match key {
            "Type" if !options => volume.erasure_coded = value.contains("Disperse"),
            "Number of Bricks" if !options => volume.set = set_size(value),
            "Volume ID" => value.clone_into(&mut volume.id),
            "Options Reconfigured" => options = true,
            key if options => drop(volume.options.insert(key.to_owned(), value.to_owned())),
            key if is_brick(key) => volume.bricks.extend(brick(value)),
            _ => {}
        }
    }
    volumes
}

/// The size of a set in the number of bricks: `2 x 3 = 6`, `1 x (4 + 2) = 6`, `2 x (2 + 1) = 6`, or, without sets, `4`.
fn set_size(value: &str) -> usize {
    let Some((_, set)) = value.split_once(" x ") else {
        return 1;
    };
    let set = set.split(" = ").next().unwrap_or(set);
    let numbers = set.split(|c: char| !c.is_ascii_digit());
    let size: usize = numbers
        .filter_map(|number| number.parse::<usize>().ok())
        .sum();
    size.max(1)
}

fn is_brick(key: &str) -> bool {
    key.strip_prefix("Brick")
        .is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Parses `host:/path`, which " (arbiter)" may follow.
fn brick(value: &str) -> Option<(String, PathBuf)> {
    let value = value.strip_suffix(" (arbiter)").unwrap_or(value);
    let (host, path) = value.split_at(value.find(":/")?);
    Some((host.to_owned(), PathBuf::from(&path[1..])))
}

/// Whether a host name or address belongs to this host: whether a socket can be bound to it.
fn is_here(host: &str) -> bool {
    let addresses = (host, 0).to_socket_addrs();
    addresses.is_ok_and(|mut all| all.any(|address| UdpSocket::bind(address).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brick_has_a_host_and_a_path() {
        let here = |host: &str, path: &str| Some((host.to_owned(), PathBuf::from(path)));
        assert_eq!(brick("h:/b/1"), here("h", "/b/1"));
        assert_eq!(brick("fd00::1:/b (arbiter)"), here("fd00::1", "/b"));
        assert_eq!(brick("nonsense"), None);
        assert!(is_brick("Brick12") && !is_brick("Bricks") && !is_brick("Brick"));
        assert!(is_here("127.0.0.1") && !is_here("192.0.2.1"));
    }

    #[test]
    fn gluster_s_words_are_understood() {
        let text = "\nVolume Name: one\nType: Distribute\nVolume ID: 8a45823a-57e8-4fe2-a80c-c265638ce08f\n\
            Bricks:\nBrick1: h:/b\nOptions Reconfigured:\nfeatures.s3plugin-hostname: http://10.0.0.1:7480\n\
            features.ctime: off\n \nVolume Name: two\nType: Distributed-Disperse\nVolume ID: x\nBricks:\n";
        let volumes = parse(text, "localhost");
        assert_eq!(volumes.len(), 2);
        assert_eq!(volumes[0].bricks, [("h".to_owned(), PathBuf::from("/b"))]);
        assert_eq!(volumes[0].id, "8a45823a-57e8-4fe2-a80c-c265638ce08f");
        assert_eq!(
            volumes[0].option("s3plugin-hostname"),
            Some("http://10.0.0.1:7480")
        );
        assert!(!volumes[0].keeps_times());
        assert!(!volumes[0].erasure_coded && volumes[1].erasure_coded);
        assert!(volumes[1].keeps_times() && volumes[1].options.is_empty());
    }

    #[test]
    fn a_set_has_the_bricks_of_a_file() {
        for (value, size) in [
            ("4", 1),
            ("1 x 3 = 3", 3),
            ("2 x (2 + 1) = 6", 3),
            ("1 x (4 + 2) = 6", 6),
        ] {
            assert_eq!(set_size(value), size, "{value}");
        }
    }

    #[test]
    fn a_line_of_the_mount_table_is_understood() {
        let line =
            "152 100 0:53 / /tmp/o\\040wn rw,relatime - fuse.glusterfs 10.99.0.1:x-1 rw,user_id=0";
        let (root, kind, source) = row(line).unwrap();
        assert_eq!(root, Path::new("/tmp/o wn"));
        assert_eq!((kind, source.as_str()), ("fuse.glusterfs", "10.99.0.1:x-1"));
    }
}
