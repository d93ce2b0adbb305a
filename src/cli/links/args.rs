//! What can be asked for of links.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use crate::cli::args::Filter;
use crate::cli::examples;
use crate::domain::linking::{Side, VariantState};
use crate::store::links::LinkKind;

/// What to do about links.
#[derive(Debug, Subcommand)]
pub enum LinksCommand {
    /// List links; of a web also what is not linked, each with why
    #[command(after_help = examples::LINKS_LIST)]
    List(ListArgs),
    /// Link variants of the POS and of a web (Liên kết), and push stock and price
    #[command(after_help = examples::LINKS_LINK)]
    Link(LinkArgs),
    /// Cut links with a web (Hủy liên kết): stock and price are pushed no more, nothing is deleted
    #[command(after_help = examples::LINKS_UNLINK)]
    Unlink(ChangeArgs),
    /// Push stock and price to a web now (Đồng bộ dữ liệu ngay), whatever was pushed before
    #[command(after_help = examples::LINKS_SYNC)]
    Sync(ChangeArgs),
    /// Show both sides of links with a web field by field, and what the web should show
    #[command(after_help = examples::LINKS_COMPARE)]
    Compare(CompareArgs),
}

/// Which links to list.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Which.
    #[command(flatten)]
    pub filter: Filter,
    /// Only in this state: linked, error, or of a web unlinked
    #[arg(long, value_parser = state)]
    pub state: Option<VariantState>,
    /// Only the products with this SKU; all of them, whatever --limit says
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub sku: Option<String>,
    /// Only this kind: product, category, customer or order
    #[arg(long, value_parser = kind)]
    pub kind: Option<LinkKind>,
    /// Of a web: only the variants of this side, sapo or web
    #[arg(long, value_parser = side)]
    pub side: Option<Side>,
    /// Comma-separated values for a spreadsheet: every row that matches, whatever --limit says
    #[arg(long)]
    pub csv: bool,
}

/// Which of all variants.
#[derive(Args, Clone, Debug)]
pub struct AllArgs {
    /// All that match; what was cut by hand is not linked by this
    #[arg(long)]
    pub all: bool,
    /// With --all: only in this state: linked, unlinked or error
    #[arg(long, requires = "all", value_parser = state)]
    pub state: Option<VariantState>,
    /// With --all: only with this in the name, a SKU that begins so, or this id of a variant or product
    #[arg(long, requires = "all", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub search: Option<String>,
    /// With --all: only with this code, such as `only_on_sapo`
    #[arg(long, requires = "all", value_name = "CODE", value_parser = NonEmptyStringValueParser::new())]
    pub code: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// What to link.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["skus", "pairs", "orders", "all"]))]
pub struct LinkArgs {
    /// The connection, one with a web
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub connection: String,
    /// The variants with this SKU; may be given several times
    #[arg(long = "sku", value_name = "SKU", value_parser = NonEmptyStringValueParser::new())]
    pub skus: Vec<String>,
    /// These two variants by their ids, whatever their SKUs; may be given several times
    #[arg(long = "pair", value_name = "SAPO:WEB", value_parser = pair)]
    pub pairs: Vec<(String, String)>,
    /// An order of the web by its name ('#1001' or 1001) or id, which was not synchronised; may be given several times
    #[arg(long = "order", value_name = "ORDER", value_parser = NonEmptyStringValueParser::new())]
    pub orders: Vec<String>,
    /// All that match.
    #[command(flatten)]
    pub all: AllArgs,
}

/// Which links to change.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["skus", "pairs", "all"]))]
pub struct ChangeArgs {
    /// The connection, one with a web
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub connection: String,
    /// The links of variants with this SKU; may be given several times
    #[arg(long = "sku", value_name = "SKU", value_parser = NonEmptyStringValueParser::new())]
    pub skus: Vec<String>,
    /// The link of these two variants by their ids; may be given several times
    #[arg(long = "pair", value_name = "SAPO:WEB", value_parser = pair)]
    pub pairs: Vec<(String, String)>,
    /// All that match.
    #[command(flatten)]
    pub all: AllArgs,
}

/// Which links to compare.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["sku", "all"]))]
pub struct CompareArgs {
    /// The connection, one with a web
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub connection: String,
    /// The variants with this SKU
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub sku: Option<String>,
    /// Every link; those that differ are shown
    #[arg(long)]
    pub all: bool,
    /// Read both sides through their APIs now instead of what is stored: two calls a product, one more where a web
    /// location is chosen
    #[arg(long)]
    pub live: bool,
    /// With --all: show at most so many links that differ
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
    pub limit: i64,
}

fn state(text: &str) -> Result<VariantState, String> {
    VariantState::from_word(text).ok_or_else(|| one_of(VariantState::ALL.iter().map(|word| word.as_str())))
}

fn kind(text: &str) -> Result<LinkKind, String> {
    LinkKind::from_word(text).ok_or_else(|| one_of(LinkKind::ALL.iter().map(|word| word.as_str())))
}

fn side(text: &str) -> Result<Side, String> {
    match text {
        "sapo" | "pos" => Ok(Side::Sapo),
        "web" | "channel" => Ok(Side::Channel),
        _ => Err("must be one of: sapo, web".to_owned()),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let is_id = |id: &str| !id.is_empty() && id.chars().all(|c| c.is_ascii_digit());
    match text.split_once(':') {
        Some((sapo, web)) if is_id(sapo) && is_id(web) => Ok((sapo.to_owned(), web.to_owned())),
        _ => Err("is the POS variant's id and the web variant's, such as 14800001:147200001".to_owned()),
    }
}

fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    format!("must be one of: {}", words.collect::<Vec<_>>().join(", "))
}
