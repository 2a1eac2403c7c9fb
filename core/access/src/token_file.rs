//! Static tokens: lines of `token,user,uid,"group1,group2"`, as kube-apiserver's `--token-auth-file` has them.

/// A token and whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Holder {
    /// The secret itself.
    pub token: String,
    /// User name.
    pub user: String,
    /// Uid; may be empty.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
}

/// Reads a file of tokens. Empty lines and lines that begin with `#` do not count.
///
/// # Errors
/// The first line that is wrong, by number, without what it says.
pub fn parse(text: &str) -> Result<Vec<Holder>, String> {
    let mut holders: Vec<Holder> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: &str| format!("line {}: {why}", index + 1);
        let fields = fields(line).map_err(wrong)?;
        let [token, user, uid, rest @ ..] = fields.as_slice() else {
            return Err(wrong(&format!(
                "must have at least 3 columns (token, user name, user uid), found {}",
                fields.len()
            )));
        };
        if token.is_empty() || user.is_empty() {
            return Err(wrong("the token and the user name must not be empty"));
        }
        if holders.iter().any(|other| other.token == *token) {
            return Err(wrong("the token is that of an earlier line"));
        }
        let groups = rest.first().map(String::as_str).unwrap_or_default().split(',').map(str::trim);
        let groups = groups.filter(|group| !group.is_empty()).map(str::to_owned).collect();
        holders.push(Holder { token: token.clone(), user: user.clone(), uid: uid.clone(), groups });
    }
    Ok(holders)
}

/// The columns of a line; one in quotes may hold commas, and quotes that are doubled.
fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        let field = fields.last_mut().expect("there is always one");
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => {
                quoted = false;
                if letters.peek().is_some_and(|next| *next != ',') {
                    return Err("text follows a closing quote");
                }
            }
            '"' if field.is_empty() => quoted = true,
            '"' => return Err("a quote stands within a column"),
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    if quoted { Err("a quote is not closed") } else { Ok(fields) }
}

/// Shows no secret.
impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holder").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fact: the format of `--token-auth-file`; groups are one column, which needs quotes when there are several.
    #[test]
    fn lines_are_token_user_uid_and_groups() {
        let text = "# people\nt1,jane,7,\"devs,qa\"\n\nt2,\"bot, \"\"the\"\"\",,\nt3,joe,8,devs\n";
        let holders = parse(text).unwrap();
        let shown: Vec<_> =
            holders.iter().map(|h| (h.token.as_str(), h.user.as_str(), h.groups.join("+"))).collect();
        let want = [("t1", "jane", "devs+qa"), ("t2", "bot, \"the\"", ""), ("t3", "joe", "devs")];
        assert_eq!(shown, want.map(|(t, u, g)| (t, u, g.to_owned())));
    }

    #[test]
    fn a_wrong_line_is_named_by_number_and_shows_no_token() {
        for (text, want) in [
            ("secret,jane", "must have at least 3 columns (token, user name, user uid), found 2"),
            ("secret,jane,1,\"a", "a quote is not closed"),
            (",jane,1", "the token and the user name must not be empty"),
            ("secret,jane,1,\"a\"b", "text follows a closing quote"),
            ("zz9,joe,2\nzz9,jane,1", "the token is that of an earlier line"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(want) && refused.starts_with("line "), "{refused}");
            assert!(!refused.contains("secret") && !refused.contains("zz9"), "{refused}");
        }
    }
}
