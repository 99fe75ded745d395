//! How the methods of an interface ended in a test, held against what its file says of them.

use libprocess::ClientError;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::rc::Rc;

/// What ends well.
const OK: &str = "Ok";

/// Methods of one interface and how they ended. Clones note into the same.
#[derive(Clone, Default)]
pub struct Outcomes(Rc<RefCell<BTreeSet<(String, String)>>>);

impl Outcomes {
    /// A call of `method` ended so. What it returned, if it did.
    ///
    /// # Panics
    /// When it is no answer of the service: a time-out, a restart.
    #[track_caller]
    pub fn note<T, E: Debug>(&self, method: &str, result: Result<T, ClientError<E>>) -> Option<T> {
        let end = match &result {
            Ok(_) => OK.to_string(),
            // The name of the case, without what it carries.
            Err(ClientError::Service(error)) => {
                format!("{error:?}").chars().take_while(|c| c.is_ascii_alphanumeric()).collect()
            }
            Err(error) => panic!("{method}: {error:?}"),
        };
        self.0.borrow_mut().insert((method.to_string(), end));
        result.ok()
    }

    /// Every method was seen to succeed and to answer each of its errors and no other. `errors` is what is
    /// generated from the interface file: `ERRORS`. `except` names errors that no test can provoke.
    ///
    /// # Panics
    /// When it was not; with all that is missing, and all that the file does not name.
    #[track_caller]
    pub fn are(&self, errors: &[(&str, &[&str])], except: &[(&str, &str)]) {
        let mut named: BTreeSet<(String, String)> = BTreeSet::new();
        for (method, cases) in errors {
            named.extend(cases.iter().chain([&OK]).map(|case| (method.to_string(), case.to_string())));
        }
        let seen = self.0.borrow();
        let excepted = |end: &&(String, String)| except.contains(&(end.0.as_str(), end.1.as_str()));
        let missing: Vec<_> = named.difference(&seen).filter(|end| !excepted(end)).collect();
        let more: Vec<_> = seen.difference(&named).collect();
        assert!(missing.is_empty() && more.is_empty(), "not provoked: {missing:?}\nnot in the file: {more:?}");
    }
}
