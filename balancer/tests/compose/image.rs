//! The image of `deploy/Dockerfile`, built by what this machine has.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An image; removed when it is dropped.
pub(crate) struct Image(String);

impl Image {
    /// By the file's own lines, but for `cargo build`, which finds that the program is built already.
    pub(crate) fn build() -> Self {
        let builder = format!("balancer-test-builder-{}", std::process::id());
        let directory = std::env::temp_dir().join(&builder);
        for program in PROGRAMS {
            copy(Path::new(program), &directory);
        }
        let cargo = "#!/bin/bash\n[ \"$*\" = \"build --release --locked -p balancer\" ] && mkdir -p target/release && \
                     cp /built/balancer target/release/balancer\n";
        write_program(&directory.join("usr/bin/cargo"), cargo);
        std::fs::create_dir_all(directory.join("built")).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_balancer"));
        copy(program, &directory);
        std::fs::rename(directory.join(program.strip_prefix("/").unwrap()), directory.join("built/balancer")).unwrap();
        std::os::unix::fs::symlink("bash", directory.join("usr/bin/sh")).unwrap();
        std::os::unix::fs::symlink("usr/bin", directory.join("bin")).unwrap();
        std::fs::create_dir_all(directory.join("tmp")).unwrap();
        let file = directory.join("Dockerfile");
        std::fs::write(&file, "FROM scratch\nCOPY . /\nENV PATH=/usr/bin\n").unwrap();
        docker(&["build", "-q", "-t", &builder, directory.to_str().unwrap()]);
        std::fs::remove_dir_all(&directory).unwrap();
        let image = Self(format!("balancer-test-{}", std::process::id()));
        let argument = format!("BUILDER={builder}");
        let build = |options: &[&str]| {
            let arguments = ["build", "-f", "deploy/Dockerfile", "--build-arg", &argument];
            let mut command = Command::new("docker");
            command.args(arguments).args(options).arg(".").current_dir(repository()).env("DOCKER_BUILDKIT", "0");
            command.output().unwrap()
        };
        // The stage that builds has a name too, or it would be left behind.
        let stage = format!("{builder}-stage");
        let built = [build(&["--target", "build", "-t", &stage]), build(&["-t", image.name()])];
        command(&["rmi", "-f", &stage, &builder]);
        built.iter().for_each(|built| assert!(built.status.success(), "{}", said(built)));
        image
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        command(&["rmi", "-f", &self.0]);
    }
}

/// Bytes of the program that the tests have built, with all its symbols.
pub(crate) fn program_size() -> f64 {
    std::fs::metadata(env!("CARGO_BIN_EXE_balancer")).unwrap().len() as f64
}

/// What `docker` says; it must succeed.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = command(arguments);
    assert!(output.status.success(), "docker {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn command(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).env("DOCKER_BUILDKIT", "0").output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A program or library and what it is linked against, at the same places below `root`.
fn copy(path: &Path, root: &Path) {
    let listed = Command::new("ldd").arg(path).output().unwrap();
    let libraries = String::from_utf8_lossy(&listed.stdout).into_owned();
    let found = libraries.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    for file in found.chain([path.to_owned()]) {
        let to = root.join(file.strip_prefix("/").unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&file, &to).unwrap();
    }
}

fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// What the lines of the Dockerfile run.
const PROGRAMS: [&str; 10] = [
    "/usr/bin/bash",
    "/usr/bin/install",
    "/usr/bin/ldd",
    "/usr/bin/grep",
    "/usr/bin/xargs",
    "/usr/bin/strip",
    "/usr/bin/cp",
    "/usr/bin/mkdir",
    "/usr/bin/cat",
    "/usr/bin/env",
];
