//! Instruction set of the processor's kernels: the widest of the machine, or a narrower one
//! requested by `ANYREF_SIMD`.

use std::sync::OnceLock;

/// Environment variable that restricts kernels to one instruction set, for tests and diagnosis:
/// `portable`, `avx2`, `avx512` (without AVX512-VNNI) or `avx512vnni` (without AVX512-BF16). It is
/// read once, before the first kernel. burn's own kernels ignore it.
const VARIABLE: &str = "ANYREF_SIMD";

/// Instruction sets from the narrowest to the widest; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) enum InstructionSet {
    /// Baseline of the target: SSE2 on x86-64, NEON on AArch64.
    Portable,
    /// AVX2 with FMA and F16C.
    Avx2,
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
        static CURRENT: OnceLock<InstructionSet> = OnceLock::new();
        *CURRENT.get_or_init(from_environment)
    }

    /// Instruction set named by the environment variable.
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "portable" => Some(Self::Portable),
            "avx2" => Some(Self::Avx2),
            "avx512" => Some(Self::Avx512),
            "avx512vnni" => Some(Self::Avx512Vnni),
            _ => None,
        }
    }
}

#[cold]
fn from_environment() -> InstructionSet {
    let asked = std::env::var_os(VARIABLE);
    let asked = asked.as_ref().map(|name| name.to_string_lossy());
    let (chosen, complaint) = choose(asked.as_deref(), of_machine());
    if let Some(complaint) = complaint {
        log::error!("{complaint}");
    }
    chosen
}

/// Chooses the requested instruction set, or the machine's widest if there is no request, the name
/// is unknown or the machine lacks it. The latter two return a warning.
fn choose(asked: Option<&str>, machine: InstructionSet) -> (InstructionSet, Option<String>) {
    let Some(name) = asked.filter(|name| !name.is_empty()) else {
        return (machine, None);
    };
    match InstructionSet::from_name(name) {
        Some(set) if set <= machine => (set, None),
        Some(_) => {
            let complaint = format!("{VARIABLE}={name}: this machine has {machine:?} at most");
            (machine, Some(complaint))
        }
        None => {
            let complaint = format!(
                "{VARIABLE}={name}: unknown, expected portable, avx2, avx512 or avx512vnni; \
                 {machine:?} is used"
            );
            (machine, Some(complaint))
        }
    }
}

/// Widest instruction set of the machine.
#[cfg(target_arch = "x86_64")]
fn of_machine() -> InstructionSet {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    let vnni = is_x86_feature_detected!("avx512vnni");
    match (avx2, avx512, is_x86_feature_detected!("avx512bf16")) {
        (true, true, true) if vnni => InstructionSet::Avx512Bf16,
        (true, true, _) if vnni => InstructionSet::Avx512Vnni,
        (true, true, _) => InstructionSet::Avx512,
        (true, false, _) => InstructionSet::Avx2,
        (false, ..) => InstructionSet::Portable,
    }
}

/// Widest instruction set of the machine.
#[cfg(not(target_arch = "x86_64"))]
fn of_machine() -> InstructionSet {
    InstructionSet::Portable
}

#[cfg(test)]
mod tests {
    use super::InstructionSet::*;
    use super::*;

    #[test]
    fn a_set_of_the_machine_is_chosen_by_name() {
        for machine in [Portable, Avx2, Avx512, Avx512Vnni, Avx512Bf16] {
            for (name, set) in [
                ("portable", Portable),
                ("avx2", Avx2),
                ("avx512", Avx512),
                ("avx512vnni", Avx512Vnni),
            ] {
                let (chosen, complaint) = choose(Some(name), machine);
                assert_eq!(chosen, set.min(machine), "{name} on {machine:?}");
                assert_eq!(complaint.is_some(), set > machine, "{name} on {machine:?}");
            }
        }
    }

    #[test]
    fn the_widest_set_is_used_where_none_is_named() {
        for machine in [Portable, Avx2, Avx512, Avx512Vnni, Avx512Bf16] {
            assert_eq!(choose(None, machine), (machine, None));
            assert_eq!(choose(Some(""), machine), (machine, None));
        }
    }

    #[test]
    fn an_unknown_name_is_complained_of() {
        let (chosen, complaint) = choose(Some("AVX3"), Avx2);
        assert_eq!(chosen, Avx2);
        assert!(complaint.unwrap().contains("AVX3"));
    }

    /// Ensures that a test run under the variable really uses that instruction set.
    #[test]
    fn the_environment_is_obeyed() {
        let expected = match std::env::var(VARIABLE) {
            Ok(name) => choose(Some(&name), of_machine()).0,
            Err(_) => of_machine(),
        };
        assert_eq!(InstructionSet::current(), expected);
    }
}
