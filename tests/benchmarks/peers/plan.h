// What is measured, and what it should come to.
#pragma once

#include <string>
#include <vector>

#include "peers/peer_server.h"
#include "peers/run.h"

namespace messenger::bench {

struct PeerOptions {
  std::vector<std::string> only;  // tables; empty: all
  int rounds = 7;
  double seconds = 5;
  std::size_t text_bytes = 128;
  bool quick = false;
  std::string output = "bench-results";
  std::string directory;  // for the servers' data; empty: temporary
};

// One row of a table.
struct Row {
  std::string name;
  ServerKind server;
  RunOptions run;
  bool through_gateway = false;
  Protection protection = {};
};

// Rows that differ in their protection alone, side by side: one figure of each.
struct Line {
  std::string name;
  std::string figure;
};

// The name of the row of a line that has this protection.
std::string RowName(const std::string& line, const Protection& protection);

// How many times as much the figure of one row is to be as that of another.
struct Goal {
  std::string row;
  std::string base;
  std::string figure;
  double ratio;  // 0: only reported
  bool at_most = false;
};

// One limit on a figure of our own.
struct Limit {
  std::string row;
  std::string figure;
  double most;
};

// Whether TLS costs a line no more than it has to. Expected is what a unit (a
// call, a megabyte on the wire) costs without TLS, and what TLS adds to one of
// the base. That is to be so many times what the unit costs with TLS, at least.
struct TlsCost {
  std::string line;
  std::string base;
  std::string figure;
  // That the figure is what a unit costs, and not how many there are a second.
  bool is_cost;
  double least;
};

struct Table {
  std::string name;
  std::string about;
  std::string note;  // what one must know to compare the rows
  std::vector<Row> rows;
  std::vector<Goal> goals;
  std::vector<Limit> limits;
  std::vector<Line> lines;  // instead of a line for each row
  std::vector<TlsCost> tls_costs;
};

std::vector<Table> MakePlan(const PeerOptions& options);

}  // namespace messenger::bench
