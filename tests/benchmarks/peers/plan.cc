#include "peers/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace messenger::bench {
namespace {

const char* const kOurs = "libmessenger";
const char* const kNats = "NATS core";

// Where readers have connections in common.
const char* const kWhoShares =
    "NATS's server sends a copy of each message for each subscription. "
    "libmessenger's server sends one to each client, whose subscriptions share "
    "it; each client has a connection of its own.";

// Of live fan-out, both systems with the same runs.
class Pair {
 public:
  Pair(Table* table, RunOptions run, double goal)
      : table_(table), run_(std::move(run)), goal_(goal) {}

  void Add(const std::string& what, const std::string& figure,
           bool at_most = false) {
    const std::string ours = fmt::format("{} {}", kOurs, what);
    const std::string theirs = fmt::format("{} {}", kNats, what);
    run_.system = "messenger";
    table_->rows.push_back({ours, ServerKind::kMessengerMemory, run_});
    // Where it is latency that counts, as its documentation recommends.
    run_.system = run_.workload == "paced" ? "nats-asap" : "nats";
    table_->rows.push_back({theirs, ServerKind::kNats, run_});
    table_->goals.push_back({.row = ours,
                             .base = theirs,
                             .figure = figure,
                             .ratio = goal_,
                             .at_most = at_most});
  }

 private:
  Table* const table_;
  RunOptions run_;
  const double goal_;
};

std::string On(std::size_t readers, std::size_t connections) {
  return fmt::format("→ {} on {} connection{}", readers, connections,
                     connections == 1 ? "" : "s");
}

Table FanOut(const PeerOptions& options) {
  Table table = {.name = "fan-out",
                 .about =
                     "live, one sender flat out, own client libraries; NATS's "
                     "with its pool of threads, unless said",
                 .note = kWhoShares};
  const auto add = [&](std::size_t readers, std::size_t connections,
                       double goal) {
    Pair(&table,
         {.workload = "fan-out",
          .readers = readers,
          .connections = connections,
          .seconds = options.seconds,
          .text_bytes = options.text_bytes},
         goal)
        .Add(On(readers, connections), "deliveries");
  };
  add(1, 1, 0);
  add(10, 1, 8);
  add(100, 1, 8);
  add(10, 4, 0);
  add(100, 4, 8);
  // The pairs have libnats run all callbacks on two threads.
  Row threads = table.rows.back();
  threads.name += ", a thread each (libnats's default)";
  threads.run.system = "nats-threads";
  Goal goal = table.goals.back();
  goal.base = threads.name;
  table.goals.push_back(std::move(goal));
  table.rows.push_back(std::move(threads));
  return table;
}

Table FanOutRaw(const PeerOptions& options) {
  Table table = {.name = "fan-out-raw",
                 .about =
                     "live, one sender flat out, readers that only count "
                     "bytes, each on a connection of its own",
                 .note = "Nothing is shared."};
  for (const auto& [readers, goal] :
       {std::pair<std::size_t, double>(100, 2), {1000, 1.5}}) {
    Pair(&table,
         {.workload = "fan-out-raw",
          .readers = readers,
          .connections = readers,
          .seconds = options.seconds,
          .text_bytes = options.text_bytes},
         goal)
        .Add(fmt::format("→ {}", readers), "deliveries");
  }
  return table;
}

Table Sizes(const PeerOptions& options) {
  Table table = {.name = "sizes",
                 .about =
                     "live, one sender flat out, → 10 readers on 4 "
                     "connections, own client libraries",
                 .note = kWhoShares};
  for (const std::size_t bytes : {16U, 1024U, 65'536U, 1'000'000U}) {
    Pair(&table,
         {.workload = "fan-out",
          .readers = 10,
          .connections = 4,
          .seconds = options.seconds,
          .text_bytes = bytes},
         1)
        .Add(fmt::format("{} bytes", bytes), "volume");
  }
  return table;
}

Table Replay(const PeerOptions& options) {
  Table table = {.name = "replay",
                 .about = "stored messages to one callback, from the oldest"};
  const RunOptions run = {.workload = "replay",
                          .text_bytes = options.text_bytes,
                          .count = options.quick ? 100'000U : 2'000'000U};
  const auto add = [&](const char* name, ServerKind server,
                       const char* system) {
    RunOptions of = run;
    of.system = system;
    table.rows.push_back({name, server, of});
  };
  add("libmessenger, memory", ServerKind::kMessengerMemory, "messenger");
  add("libmessenger, fsync", ServerKind::kMessengerFsync, "messenger");
  add("JetStream, memory", ServerKind::kNats, "jetstream-memory");
  add("JetStream, file", ServerKind::kNats, "jetstream");
  add("Redis XREAD COUNT 1000", ServerKind::kRedisNoSync, "redis");
  for (const char* ours : {"libmessenger, memory", "libmessenger, fsync"}) {
    const auto goal = [&](const char* base, double ratio) {
      table.goals.push_back(
          {.row = ours, .base = base, .figure = "messages", .ratio = ratio});
    };
    goal("JetStream, memory", 8);
    goal("JetStream, file", 8);
    goal("Redis XREAD COUNT 1000", 4);
  }
  return table;
}

Table Batched(const PeerOptions& options) {
  Table table = {.name = "batched",
                 .about = "many messages on the way, each acknowledged"};
  const auto add = [&](const char* name, ServerKind server,
                       const char* system) {
    table.rows.push_back({name,
                          server,
                          {.workload = "batched",
                           .system = system,
                           .seconds = options.seconds,
                           .text_bytes = options.text_bytes}});
  };
  add("libmessenger, memory", ServerKind::kMessengerMemory, "messenger");
  add("libmessenger, os", ServerKind::kMessengerOs, "messenger");
  add("libmessenger, fsync", ServerKind::kMessengerFsync, "messenger");
  add("JetStream async publish, no fsync", ServerKind::kNats, "jetstream");
  add("Redis XADD, everysec", ServerKind::kRedisEverySec, "redis");
  add("Redis XADD, always", ServerKind::kRedisAlways, "redis");
  for (const char* base :
       {"JetStream async publish, no fsync", "Redis XADD, always"}) {
    table.goals.push_back({.row = "libmessenger, fsync",
                           .base = base,
                           .figure = "acknowledged",
                           .ratio = 5});
  }
  return table;
}

Table Unary(const PeerOptions& options) {
  Table table = {.name = "unary",
                 .about = "one message a call, so many calls at a time"};
  const auto add = [&](std::string name, ServerKind server, const char* system,
                       int in_flight) {
    table.rows.push_back({std::move(name),
                          server,
                          {.workload = "unary",
                           .system = system,
                           .seconds = options.seconds,
                           .text_bytes = options.text_bytes,
                           .in_flight = in_flight}});
  };
  for (const int in_flight : {1, 64}) {
    const std::string ours = fmt::format("libmessenger, memory, {}", in_flight);
    const std::string bare = fmt::format("bare gRPC echo, {}", in_flight);
    add(ours, ServerKind::kMessengerMemory, "messenger", in_flight);
    add(bare, ServerKind::kBare, "bare", in_flight);
    table.goals.push_back(
        {.row = ours, .base = bare, .figure = "calls", .ratio = 0.85});
  }
  add("libmessenger, fsync, 1", ServerKind::kMessengerFsync, "messenger", 1);
  add("bare gRPC echo that syncs, 1", ServerKind::kBareSynced, "bare", 1);
  add("JetStream publish, no fsync, 1", ServerKind::kNats, "jetstream", 1);
  add("Redis XADD, always, 1", ServerKind::kRedisAlways, "redis", 1);
  table.goals.push_back({.row = "libmessenger, fsync, 1",
                         .base = "bare gRPC echo that syncs, 1",
                         .figure = "p50",
                         .ratio = 1.25,
                         .at_most = true});
  return table;
}

// Each beside the same work over gRPC, on the same kind of server.
Table Http(const PeerOptions& options) {
  Table table = {
      .name = "http",
      .about =
          "one message, or a page of the last 100, a request to the gateway, "
          "on so many connections that are kept; beside gRPC calls that do the "
          "same, so many at a time on one connection",
      .note =
          "The gateway is one process more: what it is asked over HTTP it asks "
          "the server over gRPC."};
  const auto add = [&](const char* what, ServerKind server,
                       const char* workload, const char* system, int at_once,
                       bool through_gateway) {
    table.rows.push_back({.name = fmt::format("{}, {}", what, at_once),
                          .server = server,
                          .run = {.workload = workload,
                                  .system = system,
                                  .seconds = options.seconds,
                                  .text_bytes = options.text_bytes,
                                  .in_flight = at_once},
                          .through_gateway = through_gateway});
    return table.rows.back().name;
  };
  const auto compare = [&](const std::string& row, const std::string& base) {
    table.goals.push_back(
        {.row = row, .base = base, .figure = "calls", .ratio = 0});
  };
  constexpr ServerKind kMemory = ServerKind::kMessengerMemory;
  constexpr ServerKind kFsync = ServerKind::kMessengerFsync;
  for (const int at_once : {1, 16, 64}) {
    const std::string call = add("SendMessage, memory", kMemory, "unary",
                                 "messenger", at_once, false);
    compare(add("POST, memory", kMemory, "http", "post", at_once, true), call);
    compare(add("POST with a key, memory", kMemory, "http", "post-keyed",
                at_once, true),
            call);
  }
  for (const int at_once : {1, 64}) {
    const std::string call =
        add("SendMessage, fsync", kFsync, "unary", "messenger", at_once, false);
    compare(add("POST, fsync", kFsync, "http", "post", at_once, true), call);
  }
  for (const int at_once : {1, 16}) {
    const std::string read =
        add("Client::Read of 100", kMemory, "http", "read", at_once, false);
    compare(add("GET of 100", kMemory, "http", "get", at_once, true), read);
  }
  return table;
}

Table Streams(const PeerOptions& options) {
  Table table = {
      .name = "streams",
      .about =
          "event streams of one channel of one gateway, each on a connection "
          "of its own: from the send until the last of them has it; then 1000 "
          "messages at once",
      .note =
          "Resident memory: of the gateway. Those that read nothing are more, "
          "and must be cut off during the run."};
  const std::size_t streams = options.quick ? 200 : 5000;
  const auto add = [&](int rate, std::size_t stalled) {
    table.rows.push_back(
        {.name = fmt::format(
             "{} streams, {} msg/s{}", streams, rate,
             stalled == 0 ? "" : fmt::format(", {} read nothing", stalled)),
         .server = ServerKind::kMessengerMemory,
         .run = {.workload = "streams",
                 .system = "messenger",
                 .readers = streams,
                 .stalled = stalled,
                 .seconds = options.seconds,
                 .text_bytes = options.text_bytes,
                 .count = 1000,
                 .rate = rate},
         .through_gateway = true});
    table.limits.push_back({table.rows.back().name, "memory/stream", 16});
    table.limits.push_back({table.rows.back().name, "more threads", 4});
  };
  const std::size_t stalled = streams / 50;
  for (const int rate : {20, 100}) {
    add(rate, 0);
    add(rate, stalled);
    const std::size_t rows = table.rows.size();
    table.goals.push_back({.row = table.rows[rows - 1].name,
                           .base = table.rows[rows - 2].name,
                           .figure = "p50",
                           .ratio = 1.5,
                           .at_most = true});
  }
  return table;
}

Table Latency(const PeerOptions& options) {
  Table table = {.name = "latency",
                 .about =
                     "from the send to the callback of one reader, paced; "
                     "memory log; libnats with SendAsap"};
  for (const int rate : {1000, 10'000, 100'000}) {
    Pair(&table,
         {.workload = "paced",
          .seconds = options.seconds,
          .text_bytes = options.text_bytes,
          .rate = rate},
         rate == 1000 ? 1 : 0)
        .Add(fmt::format("{} msg/s", rate), "p99", /*at_most=*/true);
    Row buffered = table.rows.back();
    Goal goal = table.goals.back();
    buffered.name += ", buffered (libnats's default)";
    buffered.run.system = "nats";
    goal.base = buffered.name;
    table.rows.push_back(std::move(buffered));
    table.goals.push_back(std::move(goal));
  }
  table.rows.push_back({"bare gRPC echo, 1000 calls/s",
                        ServerKind::kBare,
                        {.workload = "unary",
                         .system = "bare",
                         .seconds = options.seconds,
                         .text_bytes = options.text_bytes,
                         .rate = 1000}});
  table.goals.push_back({.row = "libmessenger 1000 msg/s",
                         .base = "bare gRPC echo, 1000 calls/s",
                         .figure = "p50",
                         .ratio = 1.25,
                         .at_most = true});
  return table;
}

Table Paced(const PeerOptions& options) {
  Table table = {.name = "paced",
                 .about =
                     "1000 msg/s, from the send to the last reader's "
                     "callback; libnats with SendAsap",
                 .note = kWhoShares};
  for (const std::size_t readers : {100U, 1000U}) {
    for (const std::size_t connections : {std::size_t{4}, readers}) {
      Pair(&table,
           {.workload = "paced",
            .readers = readers,
            .connections = connections,
            .seconds = options.seconds,
            .text_bytes = options.text_bytes,
            .rate = 1000},
           connections == 4 ? 1 : 0)
          .Add(On(readers, connections), "p50", /*at_most=*/true);
    }
  }
  return table;
}

// Ours in all four ways; the peers, which have no such rights, in two.
Table Tls(const PeerOptions& options) {
  Table table = {
      .name = "tls",
      .about =
          "what TLS costs, and what a token and five rights cost; memory log",
      .note = fmt::format(
          "{} The bare stream has frames of 1 MiB. libmessenger's messages "
          "have an author, as those sent with a token do. What TLS adds is the "
          "time of a call, or the CPU time of both ends for a megabyte on the "
          "wire, with TLS, less that without.",
          kWhoShares)};
  const auto add = [&](const std::string& name, const std::string& figure,
                       const RunOptions& run) {
    const bool ours = run.system == "messenger";
    const ServerKind server = ours ? ServerKind::kMessengerMemory
                              : run.system == "nats" ? ServerKind::kNats
                                                     : ServerKind::kBare;
    for (const Protection& protection :
         {kPlain, kRights, kTls, kTlsAndRights}) {
      if (protection.rights && !ours) continue;
      table.rows.push_back({.name = RowName(name, protection),
                            .server = server,
                            .run = run,
                            .protection = protection});
    }
    table.lines.push_back({.name = name, .figure = figure});
    return name;
  };
  const auto compare = [&](const std::string& ours, const std::string& peer,
                           const std::string& figure) {
    table.goals.push_back({.row = RowName(ours, kTls),
                           .base = RowName(peer, kTls),
                           .figure = figure,
                           .ratio = 0});
  };
  const std::string work = "CPU/MB";
  const auto limit = [&](const std::string& ours, const std::string& bare,
                         const std::string& figure) {
    table.tls_costs.push_back({.line = ours,
                               .base = bare,
                               .figure = figure,
                               .is_cost = figure == work,
                               .least = 0.95});
  };
  const auto run = [&](const char* workload, const char* system) {
    return RunOptions{.workload = workload,
                      .system = system,
                      .seconds = options.seconds,
                      .text_bytes = options.text_bytes,
                      .author = "bench"};
  };
  const std::string stream =
      add("bare gRPC stream", "volume", run("bare-stream", "bare"));
  for (const std::size_t connections : {1U, 10U}) {
    RunOptions live = run("fan-out", "messenger");
    live.readers = 10;
    live.connections = connections;
    const std::string what = On(live.readers, connections);
    const std::string ours =
        add(fmt::format("{} {}", kOurs, what), "deliveries", live);
    live.system = "nats";
    compare(ours, add(fmt::format("{} {}", kNats, what), "deliveries", live),
            "deliveries");
    limit(ours, stream, work);
  }
  for (const int in_flight : {1, 64}) {
    RunOptions unary = run("unary", "messenger");
    unary.in_flight = in_flight;
    const std::string ours = add(
        fmt::format("{} SendMessage, {}", kOurs, in_flight), "calls", unary);
    unary.system = "bare";
    const std::string echo =
        add(fmt::format("bare gRPC echo, {}", in_flight), "calls", unary);
    compare(ours, echo, "calls");
    limit(ours, echo, "calls");
  }
  RunOptions replay = run("replay", "messenger");
  replay.count = options.quick ? 100'000U : 2'000'000U;
  limit(add(fmt::format("{} replay", kOurs), "messages", replay), stream, work);
  limit(add(fmt::format("{} pipelined sends", kOurs), "acknowledged",
            run("batched", "messenger")),
        stream, work);
  return table;
}

Table Idle(const PeerOptions& options) {
  Table table = {.name = "idle",
                 .about = "what readers cost the server that wait"};
  const std::size_t many = options.quick ? 1000 : 10'000;
  const std::size_t own = options.quick ? 200 : 2000;
  const auto add = [&](std::size_t readers, std::size_t connections,
                       int heartbeat_ms, double most_kb) {
    RunOptions run = {.workload = "idle",
                      .system = "messenger",
                      .readers = readers,
                      .connections = connections,
                      .seconds = options.seconds,
                      .heartbeat_ms = heartbeat_ms};
    const std::string what =
        fmt::format("{} on {} connections", readers, connections);
    const std::string name = fmt::format(
        "libmessenger, {}, {}", what,
        heartbeat_ms == 0
            ? "no heartbeats"
            : fmt::format("heartbeats each {} s", heartbeat_ms / 1000));
    table.rows.push_back({name, ServerKind::kMessengerMemory, run});
    table.limits.push_back({name, "memory/reader", most_kb});
    if (heartbeat_ms > 0) return;
    table.limits.push_back({name, "server CPU", 0.5});
    run.system = "nats";
    table.rows.push_back({"NATS core, " + what, ServerKind::kNats, run});
  };
  for (const int heartbeat_ms : {0, options.quick ? 1000 : 10'000}) {
    add(many, many / 100, heartbeat_ms, 20);
    add(own, own, heartbeat_ms, 64);
  }
  return table;
}

Table Stalled(const PeerOptions& options) {
  Table table = {.name = "stalled",
                 .about =
                     "readers that take nothing while messages pass: what "
                     "the server holds for each"};
  table.rows.push_back({"libmessenger, 100 readers",
                        ServerKind::kMessengerSmall,
                        {.workload = "stalled",
                         .system = "messenger",
                         .readers = 100,
                         .text_bytes = 1000,
                         .count = options.quick ? 100'000U : 1'000'000U}});
  table.limits.push_back({"libmessenger, 100 readers", "memory/reader", 500});
  return table;
}

Table Machine(const PeerOptions& options) {
  Table table = {.name = "machine", .about = "what nobody can pass"};
  table.rows.push_back({"TCP over loopback, one way",
                        ServerKind::kNone,
                        {.workload = "tcp", .seconds = options.seconds / 2}});
  for (const std::size_t readers : {1U, 100U}) {
    table.rows.push_back(
        {fmt::format("bare gRPC stream → {}, frames of 1 MiB", readers),
         ServerKind::kBare,
         {.workload = "bare-stream",
          .system = "bare",
          .readers = readers,
          .connections = 4,
          .seconds = options.seconds / 2}});
  }
  table.rows.push_back({"write and fdatasync",
                        ServerKind::kNone,
                        {.workload = "disk",
                         .seconds = options.seconds / 2,
                         .text_bytes = options.text_bytes}});
  return table;
}

}  // namespace

std::string RowName(const std::string& line, const Protection& protection) {
  return fmt::format("{}: {}", line, ToWords(protection));
}

std::vector<Table> MakePlan(const PeerOptions& options) {
  std::vector<Table> tables = {
      FanOut(options),  FanOutRaw(options), Sizes(options), Replay(options),
      Batched(options), Unary(options),     Http(options),  Streams(options),
      Latency(options), Paced(options),     Tls(options),   Idle(options),
      Stalled(options), Machine(options)};
  std::erase_if(tables, [&](const Table& table) {
    return !options.only.empty() &&
           std::find(options.only.begin(), options.only.end(), table.name) ==
               options.only.end();
  });
  return tables;
}

}  // namespace messenger::bench
