// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The two files with keys of age: recipients, for which objects are encrypted, and identities, with which they are
//! decrypted. A file is read when it is first needed, and again after it was changed.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use age::x25519::Recipient;
use age::{Identity, IdentityFile};
use cloudsync_store::StoreError;
use cloudsync_store::checksum::Algorithm;

/// The identities of a file.
pub(crate) type Identities = Vec<Box<dyn Identity + Send + Sync>>;

/// The recipients of a file.
pub(crate) type Recipients = Vec<Recipient>;

/// By what a changed file is known: when it was changed, its inode and its size.
type State = (SystemTime, u64, u64);

/// A file of keys, and what was read from it last. `Debug` shows its path only.
pub(crate) struct KeyFile<T> {
    path: Option<PathBuf>,
    /// Reads the keys, or says what is wrong with the file.
    read: fn(&Path) -> Result<T, String>,
    /// What it means that there are no keys.
    error: fn(String) -> StoreError,
    last: Mutex<Option<(State, Arc<T>)>>,
}

impl<T> fmt::Debug for KeyFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyFile").field(&self.path).finish()
    }
}

impl<T> KeyFile<T> {
    /// Whether the settings name one.
    pub(crate) const fn is_set(&self) -> bool {
        self.path.is_some()
    }

    /// Whether that file is on this machine, or that cannot be told.
    pub(crate) fn is_there(&self) -> bool {
        let path = self.path.as_deref();
        path.is_some_and(|path| !matches!(path.try_exists(), Ok(false)))
    }

    /// The keys as they are now.
    pub(crate) fn get(&self) -> Result<Arc<T>, StoreError> {
        let Some(path) = &self.path else {
            let why =
                "this machine has no identity: identity=file:FILE in cloudsync-store-id names it";
            return Err((self.error)(why.to_owned()));
        };
        self.current(path).map_err(self.error)
    }

    fn current(&self, path: &Path) -> Result<Arc<T>, String> {
        let state =
            fs::metadata(path).and_then(|data| Ok((data.modified()?, data.ino(), data.len())));
        let state = state.map_err(|error| unreadable(path, &error))?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, keys)) = last.as_ref()
            && *then == state
        {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new((self.read)(path)?);
        *last = Some((state, Arc::clone(&keys)));
        Ok(keys)
    }
}

/// The identities of a file, or of none.
pub(crate) fn identities(path: Option<PathBuf>) -> KeyFile<Identities> {
    KeyFile {
        path,
        read: read_identities,
        error: StoreError::Encrypted,
        last: Mutex::new(None),
    }
}

/// The recipients of a file. They are needed only if there is one.
pub(crate) fn recipients(path: Option<PathBuf>) -> KeyFile<Recipients> {
    KeyFile {
        path,
        read: read_recipients,
        error: |why| StoreError::Settings(format!("encrypt=: {why}")),
        last: Mutex::new(None),
    }
}

/// Tells sets of recipients apart, in whatever order.
pub(crate) fn sum(recipients: &Recipients) -> String {
    let mut texts: Vec<_> = recipients.iter().map(ToString::to_string).collect();
    texts.sort();
    Algorithm::Crc64Nvme
        .of(texts.join("\n").as_bytes())
        .base64()
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot read the file {}: {error}", path.display())
}

fn read_identities(path: &Path) -> Result<Identities, String> {
    let name = path.to_string_lossy().into_owned();
    let file = IdentityFile::from_file(name).map_err(|error| unreadable(path, &error))?;
    let found = file.into_identities().map_err(|error| error.to_string())?;
    match found.is_empty() {
        true => Err(format!(
            "the file {} has no identity (AGE-SECRET-KEY-1...)",
            path.display()
        )),
        false => Ok(found),
    }
}

fn read_recipients(path: &Path) -> Result<Recipients, String> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let wrong = |at: &str| format!("the file {} has no recipient (age1...){at}", path.display());
    let mut found = Vec::new();
    for (at, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line is not shown: somebody may have put an identity there.
        let recipient = line.parse();
        found.push(recipient.map_err(|_| wrong(&format!(" in line {}", at + 1)))?);
    }
    match found.is_empty() {
        true => Err(wrong("")),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret;
    use age::x25519;

    #[test]
    fn files_are_read_again_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identities");
        let keys = identities(Some(path.clone()));
        assert!(matches!(keys.get(), Err(StoreError::Encrypted(_))));
        let one = x25519::Identity::generate();
        let secret = one.to_string();
        fs::write(&path, secret.expose_secret()).unwrap();
        assert_eq!(keys.get().unwrap().len(), 1);
        fs::write(&path, format!("# two\n{0}\n{0}\n", secret.expose_secret())).unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(later))
            .unwrap();
        assert_eq!(keys.get().unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named_without_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let secret = x25519::Identity::generate().to_string();
        let secret = secret.expose_secret();
        fs::write(&path, format!("# mine\n\n{secret}\n")).unwrap();
        let error = recipients(Some(path.clone()))
            .get()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("in line 3") && !error.contains(secret),
            "{error}"
        );
        fs::write(&path, "# nobody\n").unwrap();
        let error = recipients(Some(path.clone()))
            .get()
            .unwrap_err()
            .to_string();
        assert!(error.contains("has no recipient"), "{error}");
        fs::write(&path, format!("{secret}x\n")).unwrap();
        let error = identities(Some(path)).get().err().unwrap().to_string();
        assert!(
            error.contains("line 1") && !error.contains(&secret[..20]),
            "{error}"
        );
        let error = identities(None).get().err().unwrap().to_string();
        assert!(error.contains("identity=file:FILE"), "{error}");
    }
}
