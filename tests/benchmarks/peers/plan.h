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
};

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

struct Table {
  std::string name;
  std::string about;
  std::string note;  // what one must know to compare the rows
  std::vector<Row> rows;
  std::vector<Goal> goals;
  std::vector<Limit> limits;
};

std::vector<Table> MakePlan(const PeerOptions& options);

}  // namespace messenger::bench
