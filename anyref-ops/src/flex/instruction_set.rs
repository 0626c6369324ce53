//! Instruction set of the processor's kernels: the widest of the machine, or a narrower one
//! requested by `ANYREF_SIMD`.

#[cfg(all(test, target_arch = "wasm32"))]
use std::cell::Cell;
use std::sync::OnceLock;

/// Environment variable that holds kernels to one instruction set, for tests and diagnosis:
/// `portable`, `avx2`, `avxvnni` (AVX2 with AVX-VNNI), `avx512` (without AVX512-VNNI) or
/// `avx512vnni` (without AVX512-BF16). Read once, before the first kernel. burn's own kernels do
/// not read it.
const VARIABLE: &str = "ANYREF_SIMD";

/// Instruction sets from the narrowest to the widest; each includes the ones before it, but for
/// AVX-VNNI, which machines with wider ones may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) enum InstructionSet {
    /// Baseline of the target: SSE2 on x86-64, NEON on AArch64.
    Portable,
    /// WebAssembly's vectors of 128 bits, which a module is compiled with or without.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// AVX2 with products of bytes (AVX-VNNI).
    AvxVnni,
    /// AVX-512 F, VL, BW and DQ.
    Avx512,
    /// AVX-512 with products of bytes (AVX512-VNNI).
    Avx512Vnni,
    /// AVX-512 with products of bytes and of bf16 (AVX512-BF16).
    Avx512Bf16,
}

impl InstructionSet {
    /// Instruction set of this process.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        #[cfg(all(test, target_arch = "wasm32"))]
        if let Some(requested) = REQUESTED.get() {
            return requested;
        }
        static CURRENT: OnceLock<InstructionSet> = OnceLock::new();
        *CURRENT.get_or_init(from_environment)
    }

    /// Returns whether this machine has the instructions.
    #[cfg(test)]
    pub(crate) fn is_of_machine(self) -> bool {
        of_machine().contains(&self)
    }

    /// Instruction set named by the environment variable.
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "portable" => Some(Self::Portable),
            "avx2" => Some(Self::Avx2),
            "avxvnni" => Some(Self::AvxVnni),
            "avx512" => Some(Self::Avx512),
            "avx512vnni" => Some(Self::Avx512Vnni),
            _ => None,
        }
    }
}

#[cfg(all(test, target_arch = "wasm32"))]
std::thread_local! {
    /// Instruction set of a test, which has no environment there.
    static REQUESTED: Cell<Option<InstructionSet>> = const { Cell::new(None) };
}

/// Runs on one instruction set.
#[cfg(all(test, target_arch = "wasm32"))]
pub(crate) fn with<T>(set: InstructionSet, run: impl FnOnce() -> T) -> T {
    REQUESTED.set(Some(set));
    let result = run();
    REQUESTED.set(None);
    result
}

#[cold]
fn from_environment() -> InstructionSet {
    let asked = std::env::var_os(VARIABLE);
    let asked = asked.as_ref().map(|name| name.to_string_lossy());
    let (chosen, complaint) = choose(asked.as_deref(), &of_machine());
    if let Some(complaint) = complaint {
        log::error!("{complaint}");
    }
    chosen
}

/// Chooses the requested instruction set, or the machine's widest if there is no request, the name
/// is unknown or the machine lacks it. The latter two return a warning.
fn choose(asked: Option<&str>, machine: &[InstructionSet]) -> (InstructionSet, Option<String>) {
    let widest = machine.last().copied();
    let widest = widest.unwrap_or(InstructionSet::Portable);
    let Some(name) = asked.filter(|name| !name.is_empty()) else {
        return (widest, None);
    };
    match InstructionSet::from_name(name) {
        Some(set) if machine.contains(&set) => (set, None),
        Some(_) => {
            let complaint = format!("{VARIABLE}={name}: this machine has {machine:?} alone");
            (widest, Some(complaint))
        }
        None => {
            let complaint = format!(
                "{VARIABLE}={name}: unknown, expected portable, avx2, avxvnni, avx512 or avx512vnni; \
                 {widest:?} is used"
            );
            (widest, Some(complaint))
        }
    }
}

/// Instruction sets of the machine, the widest last.
#[cfg(target_arch = "x86_64")]
fn of_machine() -> Vec<InstructionSet> {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    let avx512 = avx2 && avx512;
    let vnni = avx512 && is_x86_feature_detected!("avx512vnni");
    let sets = [
        (InstructionSet::Portable, true),
        (InstructionSet::Avx2, avx2),
        (
            InstructionSet::AvxVnni,
            avx2 && is_x86_feature_detected!("avxvnni"),
        ),
        (InstructionSet::Avx512, avx512),
        (InstructionSet::Avx512Vnni, vnni),
        (
            InstructionSet::Avx512Bf16,
            vnni && is_x86_feature_detected!("avx512bf16"),
        ),
    ];
    let there = sets.into_iter().filter(|(_, there)| *there);
    there.map(|(set, _)| set).collect()
}

/// Instruction sets of the machine.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
fn of_machine() -> Vec<InstructionSet> {
    vec![InstructionSet::Portable, InstructionSet::Simd128]
}

/// Instruction sets of the machine.
#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "wasm32", target_feature = "simd128")
)))]
fn of_machine() -> Vec<InstructionSet> {
    vec![InstructionSet::Portable]
}

#[cfg(test)]
mod tests {
    use super::InstructionSet::*;
    use super::*;

    const ALL: [InstructionSet; 6] = [Portable, Avx2, AvxVnni, Avx512, Avx512Vnni, Avx512Bf16];

    /// Machines from the narrowest to the widest, with AVX-VNNI and without.
    fn machines() -> impl Iterator<Item = Vec<InstructionSet>> {
        let up_to = |count: usize| ALL[..count].to_vec();
        let without = |mut sets: Vec<InstructionSet>| {
            sets.retain(|&set| set != AvxVnni);
            sets
        };
        (1..=ALL.len()).flat_map(move |count| [up_to(count), without(up_to(count))])
    }

    #[test]
    fn a_set_of_the_machine_is_chosen_by_name() {
        for machine in machines() {
            for (name, set) in [
                ("portable", Portable),
                ("avx2", Avx2),
                ("avxvnni", AvxVnni),
                ("avx512", Avx512),
                ("avx512vnni", Avx512Vnni),
            ] {
                let (chosen, complaint) = choose(Some(name), &machine);
                let there = machine.contains(&set);
                let expected = if there { Some(&set) } else { machine.last() };
                assert_eq!(Some(&chosen), expected, "{name} on {machine:?}");
                assert_eq!(complaint.is_some(), !there, "{name} on {machine:?}");
            }
        }
    }

    #[test]
    fn the_widest_set_is_used_where_none_is_named() {
        for machine in machines() {
            let widest = *machine.last().unwrap();
            assert_eq!(choose(None, &machine), (widest, None));
            assert_eq!(choose(Some(""), &machine), (widest, None));
        }
    }

    #[test]
    fn an_unknown_name_is_complained_of() {
        let (chosen, complaint) = choose(Some("AVX3"), &[Portable, Avx2]);
        assert_eq!(chosen, Avx2);
        assert!(complaint.unwrap().contains("AVX3"));
    }

    /// Ensures that a test run under the variable really uses that instruction set.
    #[test]
    fn the_environment_is_obeyed() {
        let expected = match std::env::var(VARIABLE) {
            Ok(name) => choose(Some(&name), &of_machine()).0,
            Err(_) => choose(None, &of_machine()).0,
        };
        assert_eq!(InstructionSet::current(), expected);
    }
}
