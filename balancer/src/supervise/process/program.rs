//! Finding the program of a command before it is started, so that a mistake is told in one sentence.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::interpreter::{self, InterpreterError};

/// Why a program cannot be started; its text names the program and where it was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramError {
    /// No such file.
    NotFound {
        /// As it was written.
        program: String,
        /// The file, or `PATH (…)`.
        looked_in: String,
    },
    /// The file is there and may not be executed.
    NotExecutable {
        /// As it was written.
        program: String,
        /// The file.
        file: PathBuf,
    },
    /// What the system would start in its place is not there.
    NotStartable {
        /// As it was written.
        program: String,
        /// Why.
        why: InterpreterError,
    },
    /// It is a directory, a socket or the like.
    NotAFile {
        /// As it was written.
        program: String,
        /// What is there.
        file: PathBuf,
    },
}

/// The file that `program` means: itself when it is absolute, below `directory` when it has a `/` (that is where the
/// worker will be), otherwise the first executable file of that name in `search_path` (a `PATH`).
///
/// Returns an absolute path of a file that the system can start. Executable means: for this process, which may have other rights than the worker's user.
pub fn find_program(
    program: &str,
    directory: Option<&Path>,
    search_path: Option<&OsStr>,
) -> Result<PathBuf, ProgramError> {
    let search_path = search_path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let judge = |program: &str, file: &Path| {
        judge(program, file)?;
        interpreter::check(file, directory, search_path)
            .map_err(|why| ProgramError::NotStartable { program: program.to_owned(), why })
    };
    if program.contains('/') {
        let file = directory.unwrap_or(Path::new("")).join(program);
        let file = std::path::absolute(&file).unwrap_or(file);
        return judge(program, &file).map(|()| file);
    }
    let mut first_mistake = None;
    for folder in std::env::split_paths(search_path).filter(|_| !program.is_empty()) {
        // An empty entry of PATH means the working directory, POSIX.1-2017 section 8.3.
        let file = directory.unwrap_or(Path::new("")).join(folder).join(program);
        let file = std::path::absolute(&file).unwrap_or(file);
        match judge(program, &file) {
            Ok(()) => return Ok(file),
            Err(ProgramError::NotFound { .. }) => {}
            Err(mistake) => {
                first_mistake.get_or_insert(mistake);
            }
        }
    }
    let looked_in = format!("PATH ({})", search_path.to_string_lossy());
    Err(first_mistake.unwrap_or(ProgramError::NotFound { program: program.to_owned(), looked_in }))
}

fn judge(program: &str, file: &Path) -> Result<(), ProgramError> {
    let program = program.to_owned();
    match std::fs::metadata(file) {
        Err(_) => Err(ProgramError::NotFound { program, looked_in: file.display().to_string() }),
        Ok(metadata) if !metadata.is_file() => Err(ProgramError::NotAFile { program, file: file.into() }),
        Ok(_) if access(file, AccessFlags::X_OK).is_err() => {
            Err(ProgramError::NotExecutable { program, file: file.into() })
        }
        Ok(_) => Ok(()),
    }
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { program, looked_in } => {
                write!(f, "command `{program}` not found; looked for it in {looked_in}")
            }
            Self::NotExecutable { program, file } => {
                write!(f, "command `{program}` is not executable: {}", file.display())
            }
            Self::NotStartable { program, why } => write!(f, "command `{program}` cannot be started: {why}"),
            Self::NotAFile { program, file } => write!(f, "command `{program}` is not a file: {}", file.display()),
        }
    }
}

impl std::error::Error for ProgramError {}

/// What `execvp` takes where there is no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_looked_for_in_the_search_path() {
        assert!(find_program("sh", None, None).unwrap().is_absolute());
        let found = find_program("sh", None, Some(OsStr::new("/nowhere:/bin"))).unwrap();
        assert_eq!(found, Path::new("/bin/sh"));
        let missing = find_program("no-such-program", None, Some(OsStr::new("/nowhere:/bin"))).unwrap_err();
        assert_eq!(missing.to_string(), "command `no-such-program` not found; looked for it in PATH (/nowhere:/bin)");
        assert!(find_program("", None, None).is_err());
    }

    #[test]
    fn a_name_with_a_slash_is_looked_for_in_the_workers_directory() {
        assert_eq!(find_program("bin/sh", Some(Path::new("/")), None).unwrap(), Path::new("/bin/sh"));
        let missing = find_program("./run.sh", Some(Path::new("/nowhere")), None).unwrap_err();
        assert!(missing.to_string().contains("looked for it in /nowhere/"), "{missing}");
    }

    #[test]
    fn what_is_there_and_is_no_program_is_called_so() {
        let text = find_program("/etc/passwd", None, None).unwrap_err();
        assert_eq!(text.to_string(), "command `/etc/passwd` is not executable: /etc/passwd");
        let folder = find_program("/etc", None, None).unwrap_err();
        assert_eq!(folder.to_string(), "command `/etc` is not a file: /etc");
    }
}
