//! Paths of parameters by the fields that lead to them, without the variants of enums, so that a
//! part that comes in several kinds has one name.

/// Beginning of the container's name of a variant, by burn.
const ENUM: &str = "Enum:";

/// Goes on to a field.
pub(super) fn enter(path: &mut Vec<String>, name: &str, container: &str) {
    if !container.starts_with(ENUM) {
        path.push(name.to_owned());
    }
}

/// Comes back from a field.
pub(super) fn exit(path: &mut Vec<String>, container: &str) {
    if !container.starts_with(ENUM) {
        path.pop();
    }
}
