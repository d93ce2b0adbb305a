//! The examples of every `--help`; a test parses each of them.

/// Of the program itself.
pub const MAIN: &str = "Examples:
  sapo-sync demo
  sapo-sync connect apply connections.toml
  sapo-sync plan --connection mau-abaha
  sapo-sync import --connection mau-abaha
  sapo-sync up
  sapo-sync events show ABH000012

Exit codes: 0 fine, 1 failed, 2 wrong usage, 3 a job ended with failed rows, 4 not found.";

/// Of `sapo-sync up`.
pub const UP: &str = "Examples:
  sapo-sync up
  sapo-sync up --config /etc/sapo-sync.toml

Stop it with Ctrl-C or SIGTERM; what was started is finished first. Other commands work beside it.";

/// Of `sapo-sync receive`.
pub const RECEIVE: &str = "Examples:
  sapo-sync receive
  SAPO_SYNC__LISTEN=0.0.0.0:8080 sapo-sync receive --config /etc/sapo-sync.toml

Any number may run, each with a data dir of its own: while RabbitMQ is away, webhooks are kept there (spool.db).";

/// Of `sapo-sync work`.
pub const WORK: &str = "Examples:
  sapo-sync work
  sapo-sync work --kind order
  sapo-sync work --kind product,customer

Any number may run, each with a data dir of its own; they share the queues evenly.";

/// Of `sapo-sync keeper`.
pub const KEEPER: &str = "Examples:
  sapo-sync keeper

Any number may run, each with a data dir of its own; one leads, another follows when it is gone.";

/// Of `sapo-sync migrate`.
pub const MIGRATE: &str = "Examples:
  sapo-sync migrate

Run it before a new version's roles are started; `up` does it by itself. Running it twice, or from several places at
once, does no harm.";

/// Of `sapo-sync demo`.
pub const DEMO: &str = "Examples:
  sapo-sync demo
  sapo-sync demo --rate 5 --products 1000
  sapo-sync demo --webs 3 --odd
  sapo-sync demo --for 60s
  sapo-sync demo --for 60s --json
  sapo-sync --data-dir ./data/demo events list

State is kept in ./data/demo (or --data-dir) and can be looked at afterwards. The made-up shop itself is not kept:
each run makes a new one under a number of its own (demo-1, demo-2, …), and stops the connection of the last, whose
shop is gone. So a run never meets orders of another, and all that earlier runs left stays to be seen.
With --for the end is judged by what the made-up shop, site and webs hold: exit code 1 where an order that should have
gone across did not or stands twice, where a dead letter or a difference has no reason there, or where not everything
came to rest; each with what to look at next. With --json the last line is that verdict, of type \"agreement\".
To see work go on after a stop, run `sandbox` and `up` in two terminals and stop `up`.";

/// Of `sapo-sync sandbox`.
pub const SANDBOX: &str = "Examples:
  sapo-sync sandbox
  sapo-sync sandbox --webs 3 --odd
  sapo-sync sandbox --webhooks-to http://127.0.0.1:8080 --traffic 1 --write-connections sandbox.toml

Connect it with SAPO_SYNC__OUTGOING__ALLOW_CUSTOM_HOSTS=true, `connect apply` and the file written.

The webs (--webs) share one server: http://127.0.0.1:9102/{site}. The control API changes what their owners and buyers
change, and the webs tell it by webhook; GET /state counts everything:
  curl http://127.0.0.1:9109/web/webmau/products
  curl http://127.0.0.1:9109/web/webmau/products -d '{\"name\": \"Mũ len\", \"variants\": [{\"sku\": \"MU-1\", \"price\": 90000, \"stock\": 4}]}'
  curl http://127.0.0.1:9109/web/webmau/products/ID -d '{\"price\": 95000, \"published\": false}'
  curl http://127.0.0.1:9109/web/webmau/variants/ID -d '{\"managed\": false}'
  curl -X DELETE http://127.0.0.1:9109/web/webmau/products/ID
  curl http://127.0.0.1:9109/web/webmau/orders -d '{\"lines\": [{\"sku\": \"MU-1\", \"quantity\": 2}]}'
  curl -X POST http://127.0.0.1:9109/web/webmau/orders/ID/cancel
Such paths are there below /omni and /abaha too. --odd gives each web a SKU twice, blank and decomposed SKUs, stock that
is not counted, fractional or negative, money as text, and a hidden product.";

/// Of `sapo-sync connect`.
pub const CONNECT: &str = "Examples:
  sapo-sync connect choices --file connections.toml
  sapo-sync connect apply connections.toml
  sapo-sync connect list";

/// Of `sapo-sync connect apply`.
pub const CONNECT_APPLY: &str = "Examples:
  sapo-sync connect apply connections.toml
  sapo-sync connect apply connections.toml --paused
  sapo-sync connect apply connections.toml --prune
  sapo-sync connect apply connections.toml --offline

A connection begins with the apply that makes it, or that makes it again after it was stopped. That moment is its start
line: only orders made since then are created on the other side (orders_from in the file moves it). With --paused it
begins paused, so that a web can be prepared (`preflight`) before anything is linked or pushed; the start line is that
apply all the same, and what is ordered meanwhile waits for `connect resume NAME`. What is active already stays so.

A web must be linked to no other POS: its owner is asked to confirm that, anew once it was stopped.";

/// Of `sapo-sync connect list`.
pub const CONNECT_LIST: &str = "Examples:
  sapo-sync connect list
  sapo-sync connect list --json

Link errors of a web are its variants of both sides (`links list --connection NAME --state error`) and its orders
(`links list --connection NAME --kind order --state error`), with or without a link.";

/// Of `sapo-sync connect show`.
pub const CONNECT_SHOW: &str = "Examples:
  sapo-sync connect show mau-abaha";

/// Of `sapo-sync connect pause`.
pub const CONNECT_PAUSE: &str = "Examples:
  sapo-sync connect pause mau-abaha";

/// Of `sapo-sync connect resume`.
pub const CONNECT_RESUME: &str = "Examples:
  sapo-sync connect resume mau-abaha";

/// Of `sapo-sync connect check`.
pub const CONNECT_CHECK: &str = "Examples:
  sapo-sync connect check
  sapo-sync connect check mau-abaha";

/// Of `sapo-sync import`.
pub const IMPORT: &str = "Examples:
  sapo-sync import --connection mau-abaha
  sapo-sync import --json

Where `up` runs, it does the work and this command follows; else this command does it. It can be stopped with Ctrl-C
and goes on where it was. Exit code 3: it ended, and some rows failed.";

/// Of `sapo-sync reconcile`.
pub const RECONCILE: &str = "Examples:
  sapo-sync reconcile --connection mau-abaha
  sapo-sync reconcile

`up` does this by itself every SAPO_SYNC__RECONCILE__EVERY (15m).";

/// Of `sapo-sync plan`.
pub const PLAN: &str = "Examples:
  sapo-sync plan --connection mau-abaha
  sapo-sync plan --connection mau-abaha --json
  sapo-sync plan --limit 100";

/// Of `sapo-sync events`.
pub const EVENTS: &str = "Examples:
  sapo-sync events list --since 2h
  sapo-sync events show ABH000012";

/// Of `sapo-sync events list`.
pub const EVENTS_LIST: &str = "Examples:
  sapo-sync events list
  sapo-sync events list --search ABH000012
  sapo-sync events list --since 2h --outcome parked --code unlinked_product
  sapo-sync events list --connection mau-abaha --since 2026-03-02 --limit 500 --json";

/// Of `sapo-sync events show`.
pub const EVENTS_SHOW: &str = "Examples:
  sapo-sync events show ABH000012
  sapo-sync events show 14800001 --connection mau-abaha
  sapo-sync events show SON00001 --json";

/// Of `sapo-sync links`.
pub const LINKS: &str = "Examples:
  sapo-sync links list --state error
  sapo-sync links link --connection mau-web --sku AT-S
  sapo-sync links compare --connection mau-web --sku AT-S";

/// Of `sapo-sync links list`.
pub const LINKS_LIST: &str = "Examples:
  sapo-sync links list --state error
  sapo-sync links list --sku AT-S
  sapo-sync links list --connection mau-web --state unlinked --side web
  sapo-sync links list --connection mau-web --code only_on_sapo --csv
  sapo-sync links list --connection mau-web --search 'áo thun'
  sapo-sync links list --connection mau-web --code unmanaged
  sapo-sync links list --connection mau-web --kind order --state error
  sapo-sync links list --kind order --since 1d --json

Of a web, every variant of both sides is listed, with the counts of the products screen: all, Đã liên kết (linked),
Chưa liên kết (unlinked), Lỗi liên kết (error). What is linked may have a code too: renamed, or why stock or price is not
pushed (unmanaged, stock_unknown, no_price). Of Abaha, and without --connection, links alone are listed.";

/// Of `sapo-sync links link`.
pub const LINKS_LINK: &str = "Examples:
  sapo-sync links link --connection mau-web --sku AT-S
  sapo-sync links link --connection mau-web --pair 14800001:147200001
  sapo-sync links link --connection mau-web --order '#1001'
  sapo-sync links link --connection mau-web --all --search AT-S
  sapo-sync links link --connection mau-web --all --yes --json

One is linked at once, also where its link was cut by hand; `up` then pushes stock and price. With --all, what matches
is counted first and linked by SKU as a stored job (`sapo-sync jobs stop` ends it); what was cut by hand is left out.
Exit code 3: it ended, and some could not be linked or pushed.";

/// Of `sapo-sync links unlink`.
pub const LINKS_UNLINK: &str = "Examples:
  sapo-sync links unlink --connection mau-web --sku AT-S
  sapo-sync links unlink --connection mau-web --pair 14800001:147200001
  sapo-sync links unlink --connection mau-web --all --code unmanaged

Nothing is deleted on either side, and nothing links the two again but `sapo-sync links link`.";

/// Of `sapo-sync links sync`.
pub const LINKS_SYNC: &str = "Examples:
  sapo-sync links sync --connection mau-web --sku AT-S
  sapo-sync links sync --connection mau-web --all --state error --yes

Stock, and the price where that is switched on, are pushed by `up`, whatever was pushed before.";

/// Of `sapo-sync links compare`.
pub const LINKS_COMPARE: &str = "Examples:
  sapo-sync links compare --connection mau-web --sku AT-S
  sapo-sync links compare --connection mau-web --sku AT-S --live
  sapo-sync links compare --connection mau-web --all --limit 200 --json";

/// Of `sapo-sync preflight`.
pub const PREFLIGHT: &str = "Examples:
  sapo-sync preflight --connection mau-web
  sapo-sync preflight --connection mau-web --xlsx chuan-bi.xlsx
  sapo-sync preflight --connection mau-web --from-store --json
  sapo-sync preflight --connection mau-web --import chuan-bi.xlsx
  sapo-sync preflight --connection mau-web --import chuan-bi.xlsx --different-skus
  sapo-sync preflight --connection mau-web --import chuan-bi.xlsx --apply --yes

The spreadsheet's sheet \"Đề xuất liên kết\" may be changed and read back: an x in \"Liên kết?\" links the two
variants of its row. A variant is named by its id, or where that cell is empty by its SKU, which exactly one variant of
that side must have. What is on one side alone stands there too, with room for its counterpart; rows may be added. Two
different SKUs are refused, for a sheet of which one half was sorted apart looks just like that: --different-skus links
them as the sheet says. Without --apply it is only told what would be done. Exit code 3: some rows or products could
not be read or linked.

Before a web goes live: `connect apply FILE --paused`, preflight as often as it takes, `connect resume NAME`. While a
connection is active and `up` runs, webhooks link, and push stock and price, at once.";

/// Of `sapo-sync dead`.
pub const DEAD: &str = "Examples:
  sapo-sync dead list
  sapo-sync dead replay --all --code refused";

/// Of `sapo-sync dead list`.
pub const DEAD_LIST: &str = "Examples:
  sapo-sync dead list
  sapo-sync dead list --code refused --since 3d
  sapo-sync dead list --state discarded --json";

/// Of `sapo-sync dead show`.
pub const DEAD_SHOW: &str = "Examples:
  sapo-sync dead show ABH000012
  sapo-sync dead show 019a1b2c-3d4e --body";

/// Of `sapo-sync dead replay`.
pub const DEAD_REPLAY: &str = "Examples:
  sapo-sync dead replay ABH000012
  sapo-sync dead replay 019a1b2c-3d4e 019a1b2c-4f50
  sapo-sync dead replay --all --code refused --connection mau-abaha --since 2h --yes
  sapo-sync dead replay --all --rate 5/s

With --all the letters are counted first; those that are filed later are not touched. The replay is a stored job: where
`up` runs, it does the work and this command follows; else this command does it. It goes on where it was after a stop
(run the command again), and is ended with `sapo-sync jobs stop`. Live changes go before it. Exit code 3: it ended, and
some letters died again or wait.";

/// Of `sapo-sync jobs`.
pub const JOBS: &str = "Examples:
  sapo-sync jobs list --state running
  sapo-sync jobs stop 019a1b2c-3d4e";

/// Of `sapo-sync jobs list`.
pub const JOBS_LIST: &str = "Examples:
  sapo-sync jobs list
  sapo-sync jobs list --state running
  sapo-sync jobs list --kind replay --limit 10 --json";

/// Of `sapo-sync jobs show`.
pub const JOBS_SHOW: &str = "Examples:
  sapo-sync jobs show 019a1b2c-3d4e
  sapo-sync jobs show 019a1b2c-3d4e --json";

/// Of `sapo-sync jobs stop`.
pub const JOBS_STOP: &str = "Examples:
  sapo-sync jobs stop 019a1b2c-3d4e

A job that nobody works on ends at once; else whoever works on it ends it within a second or two. What it has done stays
done. One that has ended already is left as it is, and the exit code is 0.";

/// Of `sapo-sync dead discard`.
pub const DEAD_DISCARD: &str = "Examples:
  sapo-sync dead discard 019a1b2c-3d4e
  sapo-sync dead discard --all --code unreadable --yes";

/// Of `sapo-sync parked`.
pub const PARKED: &str = "Examples:
  sapo-sync parked list
  sapo-sync parked release --code unlinked_product";

/// Of `sapo-sync parked list`.
pub const PARKED_LIST: &str = "Examples:
  sapo-sync parked list
  sapo-sync parked list --connection mau-abaha --code unlinked_product
  sapo-sync parked list --search ABH000012 --json";

/// Of `sapo-sync parked release`.
pub const PARKED_RELEASE: &str = "Examples:
  sapo-sync parked release
  sapo-sync parked release --connection mau-abaha --code unlinked_product
  sapo-sync parked release --object 900012";

/// Of `sapo-sync check`.
pub const CHECK: &str = "Examples:
  sapo-sync check
  sapo-sync check --config /etc/sapo-sync.toml";

/// Of `sapo-sync healthcheck`.
pub const HEALTHCHECK: &str = "Examples:
  sapo-sync healthcheck
  sapo-sync healthcheck --url http://127.0.0.1:8080/readyz";

/// Of `sapo-sync config`.
pub const CONFIG: &str = "Examples:
  sapo-sync config
  sapo-sync config --current";
