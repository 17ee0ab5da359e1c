//! Files that are read while we run. Decides what is a file at all: a pipe in its place would be waited for, and a device never end.
//! Never looks at what stands in one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::{EISDIR, O_NOCTTY, O_NONBLOCK};

/// All of a regular file.
///
/// # Errors
/// Those of the system calls; where it is no regular file; [`io::ErrorKind::FileTooLarge`] where it has more than `bytes_max`.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    all_of(open(path, 0)?, bytes_max)
}

/// All of an open file.
///
/// # Errors
/// As for [`read`].
pub fn all_of(file: File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let limit = if bytes_max < MIB { format!("{bytes_max} bytes") } else { format!("{} MiB", bytes_max / MIB) };
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit}")));
    }
    Ok(bytes)
}

/// Opens a regular file to read it, with these flags of open(2) besides.
///
/// # Errors
/// As for [`read`].
pub fn open(path: &Path, flags: i32) -> io::Result<File> {
    // A pipe is opened at once then, and shut again.
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK | O_NOCTTY | flags).open(path)?;
    let kind = file.metadata()?.file_type();
    match (kind.is_file(), kind.is_dir()) {
        (true, _) => Ok(file),
        (false, true) => Err(io::Error::from_raw_os_error(EISDIR)),
        (false, false) => Err(io::Error::other("it is a pipe or a device, not a regular file")),
    }
}

const MIB: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
        let path = std::env::temp_dir().join(format!("balancer-regular-{}", std::process::id()));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let said = |path: &Path, bytes_max| read(path, bytes_max).unwrap_err().to_string();
        assert_eq!(said(&path, 9), "it is a pipe or a device, not a regular file");
        assert_eq!(said(Path::new("/dev/zero"), 9), "it is a pipe or a device, not a regular file");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "A=1\n").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"A=1\n");
        assert_eq!(said(&path, 3), "it has more than 3 bytes");
        std::fs::remove_file(path).unwrap();
    }
}
