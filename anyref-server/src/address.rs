//! Parts of a request's address.

use anyref_api::{Outcome, Problem, one_line};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};

/// Query of an address as an extractor gives it.
pub(crate) type GivenQuery<T> = Result<Query<T>, QueryRejection>;

/// Last part of an address's path as an extractor gives it.
pub(crate) type GivenPath = Result<Path<String>, PathRejection>;

/// Reads a query.
pub(crate) fn query<T>(given: GivenQuery<T>) -> Outcome<T> {
    match given {
        Ok(Query(query)) => Ok(query),
        Err(error) => Err(unreadable("query", &error.body_text())),
    }
}

/// Reads the last part of a path.
pub(crate) fn path(given: GivenPath) -> Outcome<String> {
    match given {
        Ok(Path(part)) => Ok(part),
        Err(error) => Err(unreadable("path", &error.body_text())),
    }
}

fn unreadable(part: &'static str, reason: &str) -> Problem {
    let message = format!(
        "the {part} of the address is not as described: {}",
        one_line(reason)
    );
    Problem::bad("address", message).at(part)
}
