//! CEL programs that cannot take the process down.
//!
//! The CEL parser and interpreter are recursive with large frames: thirty nested parentheses overflow an ordinary
//! thread's stack, which aborts the process, and some malformed texts make the parser panic. So texts are bounded,
//! parsing runs on a thread of its own with a large stack, and what is nested deeply is evaluated on one, too.
//!
//! Each turn of a loop is counted: the conditions of loops are wrapped in a call that fails once the budget is spent.
//! **Limit:** a text without loops can still build a long list or string by doubling it again and again.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kube_cel::cel::common::ast::{CallExpr, EntryExpr, Expr};
use kube_cel::cel::{self, Context, ExecutionError, IdedExpr};

/// The longest text taken, in bytes.
const MAX_TEXT: usize = 8 * 1024;
/// How deeply brackets may be nested in a text.
const MAX_BRACKETS: usize = 64;
/// How deep an expression may be.
const MAX_DEPTH: usize = 250;
/// How deeply loops (`all`, `exists`, `map`, ...) may be nested.
const MAX_LOOPS: usize = 3;
/// The deepest expression that is evaluated on the caller's stack.
const SHALLOW: usize = 12;
/// The stack for parsing, in bytes; only what is touched is ever backed by memory.
const PARSE_STACK: usize = 256 << 20;
/// The stack for evaluating deep expressions, in bytes.
const RUN_STACK: usize = 32 << 20;

/// What one evaluation may spend: a turn of a loop costs one, and more over a big value.
const BUDGET: u64 = 2_000_000;
/// What all evaluations over one object may spend together.
const TOTAL: u64 = 10_000_000;
/// What an evaluation costs that does not loop: many small ones take their time, too.
const EVALUATION: u64 = 50;
/// So many bytes of the value looked at make each turn dearer by one.
const BYTES_PER_COST: usize = 4096;
/// The function that counts. No text can name it.
const TICK: &str = "@tick";
/// Why an evaluation was given up.
pub(crate) const TOO_DEAR: &str = "call cost exceeds limit";
/// Why no more evaluations are made.
pub(crate) const SPENT: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

thread_local! {
    /// What is left of the evaluation that runs on this thread, and what a turn costs.
    static LEFT: Cell<(u64, u64)> = const { Cell::new((0, 1)) };
    /// What is left for the object that this thread validates.
    static ALL: Cell<u64> = const { Cell::new(TOTAL) };
}

/// A compiled expression.
pub(crate) struct Program {
    expression: IdedExpr,
    depth: usize,
    loops: bool,
    fields: Option<BTreeSet<String>>,
    old: bool,
}

// === impl Program ===

impl Program {
    /// Compiles a text.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("the expression is longer than {MAX_TEXT} bytes"));
        }
        if brackets(text) > MAX_BRACKETS {
            return Err(format!("the expression nests brackets deeper than {MAX_BRACKETS}"));
        }
        let parse = || {
            let program = cel::Program::compile(text).map_err(|error| error.to_string())?;
            let mut shape = Shape::default();
            shape.walk(program.expression(), 1, 0);
            if shape.depth > MAX_DEPTH {
                return Err(format!("the expression is nested deeper than {MAX_DEPTH}"));
            }
            if shape.loops > MAX_LOOPS {
                return Err(format!("the expression nests loops deeper than {MAX_LOOPS}"));
            }
            let old = program.references().has_variable("oldSelf");
            let fields = (!shape.whole).then_some(shape.fields);
            let mut expression = program.expression().clone();
            count_turns(&mut expression);
            Ok(Self { expression, depth: shape.depth, loops: shape.loops > 0, fields, old })
        };
        on_stack(PARSE_STACK, parse).unwrap_or_else(|| Err("the expression cannot be parsed".to_owned()))
    }

    /// Evaluates the expression over a value of `size` bytes.
    pub(crate) fn run(&self, context: &Context<'_>, size: usize) -> Result<cel::Value, String> {
        let price = 1 + u64::try_from(size / BYTES_PER_COST).unwrap_or(BUDGET);
        let all = ALL.replace(0).saturating_sub(EVALUATION);
        if all == 0 {
            return Err(SPENT.to_owned());
        }
        let budget = BUDGET.min(all);
        let execute = || {
            LEFT.set((budget, price));
            let result = cel::Value::resolve(&self.expression, context);
            let (left, _) = LEFT.get();
            // What swallowed the failure (`||`, `&&`) may have come to any result.
            let result =
                if left == 0 { Err(TOO_DEAR.to_owned()) } else { result.map_err(|error| error.to_string()) };
            (result, left)
        };
        let done = if self.depth > SHALLOW {
            on_stack(RUN_STACK, execute)
        } else {
            catch_unwind(AssertUnwindSafe(execute)).ok()
        };
        let failed = || (Err("the expression cannot be evaluated".to_owned()), 0);
        let (result, left) = done.unwrap_or_else(failed);
        ALL.set(all - (budget - left));
        result
    }

    /// Whether the expression loops.
    pub(crate) fn loops(&self) -> bool {
        self.loops
    }

    /// Whether the expression looks at the value before.
    pub(crate) fn compares(&self) -> bool {
        self.old
    }

    /// The fields of `self` and `oldSelf` that the expression looks at; `None` if it uses one of them whole.
    pub(crate) fn fields(&self) -> Option<&BTreeSet<String>> {
        self.fields.as_ref()
    }
}

/// Begins to validate an object.
pub(crate) fn begin() {
    ALL.set(TOTAL);
}

/// Whether nothing is left for the object, which has been told.
pub(crate) fn is_spent() -> bool {
    ALL.get() == 0
}

/// Gives a context the function that counts the turns of loops.
pub(crate) fn with_counter(mut context: Context<'static>) -> Context<'static> {
    context.add_function(TICK, tick);
    context
}

fn tick(condition: bool) -> Result<cel::Value, ExecutionError> {
    let (left, price) = LEFT.get();
    let left = left.saturating_sub(price);
    LEFT.set((left, price));
    if left == 0 {
        return Err(ExecutionError::function_error(TICK, TOO_DEAR));
    }
    Ok(cel::Value::Bool(condition))
}

/// Wraps the condition of every loop in a call of the function that counts.
fn count_turns(node: &mut IdedExpr) {
    match &mut node.expr {
        Expr::Select(select) => count_turns(&mut select.operand),
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| count_turns(target));
            call.args.iter_mut().for_each(count_turns);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(count_turns),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| count_turns_in(&mut entry.expr)),
        Expr::Struct(object) => object.entries.iter_mut().for_each(|entry| count_turns_in(&mut entry.expr)),
        Expr::Comprehension(each) => {
            let each = &mut **each;
            let parts = [&mut each.iter_range, &mut each.accu_init, &mut each.loop_step, &mut each.result];
            parts.into_iter().for_each(count_turns);
            count_turns(&mut each.loop_cond);
            let condition = std::mem::take(&mut each.loop_cond);
            let call = CallExpr { func_name: TICK.to_owned(), target: None, args: vec![condition] };
            each.loop_cond = IdedExpr { id: 0, expr: Expr::Call(call) };
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn count_turns_in(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::StructField(field) => count_turns(&mut field.value),
        EntryExpr::MapEntry(entry) => {
            count_turns(&mut entry.key);
            count_turns(&mut entry.value);
        }
    }
}

/// Runs work on a thread with a stack of that many bytes. `None` if it panicked or no thread can be had.
fn on_stack<T: Send>(size: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("cel".to_owned()).stack_size(size);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// How deeply brackets are nested. Brackets in string literals count too: a text may be refused needlessly, but
/// not the other way round.
fn brackets(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// What a walk over an expression finds.
#[derive(Default)]
struct Shape {
    depth: usize,
    loops: usize,
    whole: bool,
    fields: BTreeSet<String>,
}

// === impl Shape ===

impl Shape {
    fn walk(&mut self, node: &IdedExpr, depth: usize, loops: usize) {
        self.depth = self.depth.max(depth);
        self.loops = self.loops.max(loops);
        let depth = depth + 1;
        match &node.expr {
            Expr::Ident(name) => self.whole |= is_self(name),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) if is_self(name) => {
                    self.fields.insert(select.field.clone());
                }
                _ => self.walk(&select.operand, depth, loops),
            },
            Expr::Call(call) => {
                let operands = call.target.iter().map(|target| &**target).chain(&call.args);
                operands.for_each(|operand| self.walk(operand, depth, loops));
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.walk(element, depth, loops)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr, depth, loops)),
            Expr::Struct(object) => {
                object.entries.iter().for_each(|entry| self.entry(&entry.expr, depth, loops))
            }
            Expr::Comprehension(each) => {
                self.walk(&each.iter_range, depth, loops);
                for part in [&each.accu_init, &each.loop_cond, &each.loop_step, &each.result] {
                    self.walk(part, depth, loops + 1);
                }
            }
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn entry(&mut self, entry: &EntryExpr, depth: usize, loops: usize) {
        match entry {
            EntryExpr::StructField(field) => self.walk(&field.value, depth, loops),
            EntryExpr::MapEntry(entry) => {
                self.walk(&entry.key, depth, loops);
                self.walk(&entry.value, depth, loops);
            }
        }
    }
}

fn is_self(name: &str) -> bool {
    matches!(name, "self" | "oldSelf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_texts_are_refused_and_do_not_take_the_process_down() {
        let n = 4000;
        let texts = [
            format!("{}1{} == 1", "(".repeat(n), ")".repeat(n)),
            "[".repeat(60),
            format!("self{}", ".a".repeat(n)),
            format!("self{}", "[0]".repeat(2000)),
            format!("1{} == 1", "+1".repeat(n)),
            format!("{}true", "true ? true : ".repeat(200)),
            format!("self{}", ".size()".repeat(1000)),
            format!("self{} == 1", ".all(x, self".repeat(20)),
            "self.all(a, self.all(b, self.all(c, self.all(d, a == d))))".to_owned(),
            "'".to_owned(),
            String::new(),
        ];
        for text in texts {
            assert!(Program::compile(&text).is_err(), "{}", &text[..text.len().min(40)]);
        }
    }

    /// As deep as is allowed still runs, on a thread whose own stack is small.
    #[test]
    fn the_deepest_allowed_expressions_run_on_a_small_stack() {
        let texts = [
            (format!("1{} == 241", "+1".repeat(240)), true),
            (format!("{}1{} == 1", "(".repeat(60), ")".repeat(60)), true),
            (format!("true{}", " && true".repeat(900)), true),
            (format!("{}true", "!".repeat(501)), false),
        ];
        for (text, wanted) in texts {
            let program = Program::compile(&text).unwrap();
            let run = || program.run(&Context::default(), 0);
            assert_eq!(on_stack(512 << 10, run), Some(Ok(cel::Value::Bool(wanted))));
        }
    }

    /// Three loops over a list of a thousand would take a billion turns; a small list is no trouble, and what gives up
    /// is not taken for an answer by a rule that has another way to be true.
    #[test]
    fn loops_that_take_too_long_are_given_up() {
        let run = |text: &str, items: i64, size: usize| {
            let mut context = with_counter(Context::default());
            let list: Vec<cel::Value> = (0..items).map(cel::Value::Int).collect();
            context.add_variable_from_value("self", cel::Value::List(list.into()));
            Program::compile(text).unwrap().run(&context, size)
        };
        let cubed = "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))";
        let started = std::time::Instant::now();
        assert_eq!(run(cubed, 1000, 0), Err(TOO_DEAR.to_owned()));
        assert_eq!(run(&format!("{cubed} || true"), 1000, 0), Err(TOO_DEAR.to_owned()));
        assert_eq!(run("self.all(a, self.all(b, a + b >= 0))", 200, 1 << 20), Err(TOO_DEAR.to_owned()));
        assert!(started.elapsed().as_secs() < 60);
        assert_eq!(run(cubed, 20, 0), Ok(cel::Value::Bool(true)));
        assert_eq!(
            run("self.exists(a, a == 3) && self.map(a, a * 2)[1] == 2", 1000, 0),
            Ok(cel::Value::Bool(true))
        );
    }

    /// Fact: Kubernetes gives all rules over one object one budget, and says once that it is spent.
    #[test]
    fn all_evaluations_over_one_object_share_a_budget() {
        let program = Program::compile("1 == 1").unwrap();
        begin();
        ALL.set(2 * EVALUATION + 1);
        for _ in 0..2 {
            assert_eq!(program.run(&Context::default(), 0), Ok(cel::Value::Bool(true)));
            assert!(!is_spent());
        }
        assert_eq!(program.run(&Context::default(), 0), Err(SPENT.to_owned()));
        assert!(is_spent());
        begin();
        assert_eq!(program.run(&Context::default(), 0), Ok(cel::Value::Bool(true)));
    }

    #[test]
    fn the_fields_that_a_rule_looks_at_are_known() {
        let fields = |text: &str| Program::compile(text).unwrap().fields().cloned();
        let wanted = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(fields("has(self.a) || self.b.c.all(x, x == oldSelf.a)"), Some(wanted));
        assert_eq!(fields("size(self) > 1"), None);
        assert_eq!(fields("self == oldSelf.a"), None);
    }
}
