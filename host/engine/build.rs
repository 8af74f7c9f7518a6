//! With the cargo feature `cuda`: compiles the kernels with nvcc, for every GPU that they run on, and makes what
//! `fused::driver` includes of them. Without it: nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;

/// Restricts the architectures, for quick builds while a kernel is written: `HARNESS_CUDA_ARCHS=90a`.
const ARCHS: &str = "HARNESS_CUDA_ARCHS";

/// Set to anything: kernels for `compute-sanitizer --tool racecheck`, with line numbers. `kernels/barriers.cuh` has what
/// is different about them.
const RACECHECK: &str = "HARNESS_RACECHECK";

/// The first line of a kernel file that needs compute capability 9.0.
const NEEDS_90: &str = "// sm_90";

/// What the compiler says where something touches the sums of products that are under way.
const SERIALIZED: &str = "wgmma.mma_async instructions are serialized";

/// Of the GPUs with machine code of their own; others newer than 8.0 are served by compiling PTX when the program
/// starts.
const ALL: [&str; 5] = ["80", "90a", "100", "103", "120"];

type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return ExitCode::SUCCESS;
    }
    println!("cargo::rerun-if-changed=kernels");
    for name in [ARCHS, RACECHECK, "NVCC", "CUDA_HOME", "CUDA_PATH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            why.lines().for_each(|line| println!("cargo::error={line}"));
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<()> {
    let of_cargo = |name: &str| std::env::var_os(name).map(PathBuf::from).ok_or(format!("cargo sets no {name}"));
    let out = of_cargo("OUT_DIR")?;
    let folder = of_cargo("CARGO_MANIFEST_DIR")?.join("kernels");
    let mut kernels: Vec<PathBuf> = fs::read_dir(&folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(|error| format!("can't list the kernels in {}: {error}", folder.display()))?;
    kernels.retain(|path| path.extension().is_some_and(|extension| extension == "cu"));
    kernels.sort();
    let nvcc = nvcc()?;
    let archs = archs(&nvcc)?;
    let images = compile(&nvcc, &archs, &kernels, &out)?;
    let entries: String = images
        .iter()
        .map(|(stem, image)| format!("    ({stem:?}, include_bytes!({:?})),\n", image.display().to_string()))
        .collect();
    let text = format!(
        "/// Each kernel file's name and machine code.\npub(crate) const IMAGES: &[(&str, &[u8])] = &[\n{entries}];\n"
    );
    let table = out.join("kernels.rs");
    fs::write(&table, text).map_err(|error| format!("can't write {}: {error}", table.display()))
}

/// Compiles every file, as many at once as there are cores.
fn compile(nvcc: &Path, archs: &[String], kernels: &[PathBuf], out: &Path) -> Result<Vec<(String, PathBuf)>> {
    let next = Mutex::new(kernels.iter());
    let threads = thread::available_parallelism().map_or(1, usize::from).min(kernels.len());
    let work = || -> Result<Vec<(String, PathBuf)>> {
        let mut done = Vec::new();
        loop {
            let kernel = next.lock().map_err(|_| "another compilation failed")?.next();
            match kernel {
                Some(kernel) => done.extend(compile_one(nvcc, archs, kernel, out)?),
                None => return Ok(done),
            }
        }
    };
    let done: Vec<Result<Vec<(String, PathBuf)>>> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread that ran nvcc failed".into())))
            .collect()
    });
    let mut images: Vec<_> = done.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    images.sort();
    Ok(images)
}

/// Nothing where none of the architectures is one of the file's.
fn compile_one(nvcc: &Path, archs: &[String], kernel: &Path, out: &Path) -> Result<Option<(String, PathBuf)>> {
    let shown = kernel.display();
    let source = fs::read_to_string(kernel).map_err(|error| format!("can't read {shown}: {error}"))?;
    let needs_90 = source.lines().next().is_some_and(|line| line.trim_end() == NEEDS_90);
    let old = |arch: &&String| arch.as_str() == "80" || arch.as_str() == "compute_80";
    let targets: Vec<String> = archs.iter().filter(|arch| !(needs_90 && old(arch))).map(|arch| target(arch)).collect();
    if targets.is_empty() {
        return Ok(None);
    }
    let stem = kernel.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let image = out.join(format!("{stem}.fatbin"));
    let mut command = Command::new(nvcc);
    command.args(["-std=c++17", "-O3", "-fatbin"]).args(targets).arg("-o").arg(&image).arg(kernel);
    if std::env::var_os(RACECHECK).is_some() {
        command.args(["-lineinfo", "-DFOR_RACECHECK"]);
    }
    let ran = command.output().map_err(|error| format!("can't run {}: {error}", nvcc.display()))?;
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if !ran.status.success() {
        return Err(format!("nvcc can't compile {shown} ({}):\n{said}", ran.status));
    }
    if said.contains(SERIALIZED) {
        return Err(format!("{shown}: warpgroups would wait for each of their products:\n{said}"));
    }
    said.lines().filter(|line| !line.trim().is_empty()).for_each(|line| println!("cargo::warning={line}"));
    Ok(Some((stem, image)))
}

fn target(arch: &str) -> String {
    match arch.strip_prefix("compute_") {
        Some(number) => format!("-gencode=arch=compute_{number},code=compute_{number}"),
        None => format!("-gencode=arch=compute_{arch},code=sm_{arch}"),
    }
}

/// What is compiled for: numbers as in sm_N, and the PTX for the rest.
fn archs(nvcc: &Path) -> Result<Vec<String>> {
    let listed = Command::new(nvcc)
        .arg("--list-gpu-code")
        .output()
        .map_err(|error| format!("can't run {}: {error}", nvcc.display()))?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    // Of the variants with features of one architecture only, such as sm_90a, nvcc lists the plain one.
    let known =
        |arch: &str| listed.lines().any(|line| line.trim() == format!("sm_{}", arch.trim_end_matches(['a', 'f'])));
    if let Ok(wanted) = std::env::var(ARCHS)
        && !wanted.trim().is_empty()
    {
        let wanted: Vec<String> = wanted.split(',').map(|arch| arch.trim().to_owned()).collect();
        return match wanted.iter().find(|arch| !known(arch)) {
            Some(arch) => Err(format!(
                "{ARCHS} has '{arch}', for which {} can't compile; write architectures such as 80,90a, or leave it out",
                nvcc.display()
            )),
            None => Ok(wanted),
        };
    }
    if let Some(missing) = ["80", "90a"].iter().find(|arch| !known(arch)) {
        return Err(format!(
            "{} can't compile for sm_{missing}; install the CUDA toolkit 12.8 or newer",
            nvcc.display()
        ));
    }
    let all = ALL.iter().filter(|arch| known(arch)).map(|&arch| arch.to_owned());
    Ok(all.chain(["compute_80".to_owned()]).collect())
}

fn nvcc() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(nvcc) = variable("NVCC") {
        return match nvcc.is_file() {
            true => Ok(nvcc),
            false => Err(format!("NVCC is {}, which is no file; name the CUDA toolkit's nvcc", nvcc.display())),
        };
    }
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(variable).map(|home| home.join("bin"));
    let path: Vec<PathBuf> = variable("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let name = format!("nvcc{}", std::env::consts::EXE_SUFFIX);
    homes
        .chain(path)
        .chain([PathBuf::from("/usr/local/cuda/bin")])
        .map(|folder| folder.join(&name))
        .find(|nvcc| nvcc.is_file())
        .ok_or_else(|| {
            "the cargo feature cuda needs nvcc, which is neither under CUDA_HOME or CUDA_PATH, nor on PATH, nor in \
             /usr/local/cuda/bin; install the CUDA toolkit 13 or set NVCC; without a toolkit, \
             `eval \"$(.ci/cuda-toolkit SOME_FOLDER)\"` makes one of PyPI's wheels, enough to build"
                .into()
        })
}
