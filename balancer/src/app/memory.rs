//! What is remembered over a restart: how long requests take, in one file of `state_dir`.
//!
//! It is read once, at the start, and written every minute and at the end: whole or not at all, and never on a proxy thread.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::config::Config;
use crate::pool::{Learned, Pool};
use crate::trust;

/// Learned times by pool, and where they are kept.
#[derive(Debug)]
pub(super) struct Memory {
    file: String,
    kept: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    directory: Option<PathBuf>,
    pools: BTreeMap<String, Learned>,
    /// Whether the last writing failed, which is told once.
    failed: bool,
}

impl Memory {
    /// Reads what the instance of that name has left, if it was told where. A file that cannot be read is as good as none.
    pub(super) fn open(name: &str, config: &Config) -> Arc<Self> {
        let memory = Self { file: format!("{name}.learned.json"), kept: Mutex::default() };
        memory.kept().directory = directory(config);
        if let Some(path) = memory.path() {
            match read(&path) {
                Ok(pools) => memory.kept().pools = pools,
                Err(why) => tracing::warn!(
                    "learned times in {} are not used: {why}; they are learned anew and written there again",
                    path.display()
                ),
            }
        }
        Arc::new(memory)
    }

    /// From now on it is kept where the configuration says.
    pub(super) fn configure(&self, config: &Config) {
        self.kept().directory = directory(config);
    }

    /// Tells a pool what is known of it, if it knows nothing itself.
    pub(super) fn recall(&self, pool: &Pool) {
        if let Some(learned) = self.kept().pools.get(&**pool.name()) {
            pool.remember(learned);
        }
    }

    /// Notes what a pool knows.
    pub(super) fn note(&self, pool: &Pool) {
        if let Some(learned) = pool.learned() {
            self.kept().pools.insert(pool.name().to_string(), learned);
        }
    }

    /// Notes what these pools know, and writes it.
    pub(super) async fn save(self: &Arc<Self>, pools: impl Iterator<Item = &Arc<Pool>>) {
        let pools: Vec<&Arc<Pool>> = pools.collect();
        pools.iter().for_each(|pool| self.note(pool));
        let Some(path) = self.path() else { return };
        let of = |pool: &&Arc<Pool>| Some((pool.name().to_string(), self.kept().pools.get(&**pool.name())?.to_json()));
        let pools: serde_json::Map<String, Value> = pools.iter().filter_map(of).collect();
        if pools.is_empty() {
            return;
        }
        let (memory, text) = (Arc::clone(self), json!({ "version": VERSION, "pools": pools }).to_string());
        // It fails only where the runtime ends.
        let _ = spawn_blocking(move || memory.wrote(&path, trust::replace(&path, text.as_bytes()))).await;
    }

    fn wrote(&self, path: &Path, result: io::Result<()>) {
        let failed = std::mem::replace(&mut self.kept().failed, result.is_err());
        match result {
            Err(error) if !failed => tracing::warn!("cannot remember learned times in {}: {error}", path.display()),
            _ => {}
        }
    }

    fn path(&self) -> Option<PathBuf> {
        Some(self.kept().directory.as_ref()?.join(&self.file))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That of the file, or the one that systemd has made for us (`StateDirectory=`): the first, where it has made several.
pub(super) fn directory(config: &Config) -> Option<PathBuf> {
    let made = || std::env::var("STATE_DIRECTORY").ok()?.split(':').next().map(PathBuf::from);
    config.state_dir.clone().or_else(made).filter(|path| path.is_absolute())
}

/// What is in the file, by pool; nothing where there is none.
fn read(path: &Path) -> Result<BTreeMap<String, Learned>, String> {
    let bytes = match trust::read_own(path, BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        read => read.map_err(|error| error.to_string())?,
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if value["version"] != VERSION {
        return Err("the file is of another version".to_owned());
    }
    let pools = value["pools"].as_object().ok_or("the file has no pools")?;
    let pool = |(name, value): (&String, &Value)| {
        let learned = Learned::from_json(value).ok_or_else(|| format!("the times of pool {name} are damaged"))?;
        Ok((name.clone(), learned))
    };
    pools.into_iter().map(pool).collect()
}

/// For a disk, at the end.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
const VERSION: u64 = 1;
/// Some hundred pools.
const BYTES_MAX: u64 = 16 << 20;
#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_cannot_be_read_says_why() {
        let directory = std::env::temp_dir().join(format!("balancer-memory-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("lb.learned.json");
        assert!(read(&path).unwrap().is_empty(), "there is none yet");
        for (text, why) in [
            ("", "EOF"),
            ("\0\u{1}", "expected value"),
            ("{\"version\":1,\"pools\":{\"app\":", "EOF"),
            ("{}", "another version"),
            ("{\"version\":2,\"pools\":{}}", "another version"),
            ("{\"version\":1}", "no pools"),
            ("{\"version\":1,\"pools\":{\"app\":{}}}", "the times of pool app are damaged"),
            (&"[".repeat(100_000), "recursion"),
        ] {
            trust::replace(&path, text.as_bytes()).unwrap();
            let told = read(&path).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
        trust::replace(&path, &vec![b' '; BYTES_MAX as usize + 1]).unwrap();
        assert!(read(&path).unwrap_err().contains("more than 16 MiB"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(read(&path).unwrap_err().starts_with("Is a directory"));
        fs::remove_dir_all(directory).unwrap();
    }
}
