// The bound for what is being appended (server/append_gate.h).
#include "server/append_gate.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace messenger::append_gate_test {
namespace {

using Entry = AppendGate::Entry;

// Notes who was admitted or turned away, in order.
class Call final : public AppendGate::Waiter {
 public:
  Call(std::string name, std::vector<std::string>* events)
      : name_(std::move(name)), events_(*events) {}
  void OnAdmitted() override { events_.push_back(name_); }
  void OnTurnedAway() override { events_.push_back("not " + name_); }

 private:
  const std::string name_;
  std::vector<std::string>& events_;
};

struct Crowd {
  std::shared_ptr<Call> New(const std::string& name) {
    return std::make_shared<Call>(name, &events);
  }
  std::vector<std::string> events;
};

TEST_CASE("append gate: what fits enters at once, and one at least") {
  Crowd crowd;
  AppendGate gate({.max_bytes = 10, .max_waiting_bytes = 100});
  CHECK(gate.Enter(crowd.New("a"), 1, 50) == Entry::kAdmitted);
  CHECK(gate.Enter(crowd.New("b"), 1, 1) == Entry::kWaits);
  gate.Leave(50);
  CHECK(crowd.events == std::vector<std::string>{"b"});
  CHECK(gate.Enter(crowd.New("c"), 1, 9) == Entry::kAdmitted);
  CHECK(gate.Enter(crowd.New("d"), 1, 1) == Entry::kWaits);
}

TEST_CASE("append gate: connections take turns") {
  Crowd crowd;
  AppendGate gate({.max_bytes = 10, .max_waiting_bytes = 1000});
  CHECK(gate.Enter(crowd.New("first"), 1, 10) == Entry::kAdmitted);
  for (const char* const name : {"a1", "a2", "a3"}) {
    CHECK(gate.Enter(crowd.New(name), 1, 10) == Entry::kWaits);
  }
  CHECK(gate.Enter(crowd.New("b1"), 2, 10) == Entry::kWaits);
  CHECK(gate.Enter(crowd.New("c1"), 3, 10) == Entry::kWaits);
  for (int i = 0; i < 5; ++i) gate.Leave(10);
  CHECK(crowd.events == std::vector<std::string>{"a1", "b1", "c1", "a2", "a3"});
}

TEST_CASE("append gate: nobody overtakes who waits") {
  Crowd crowd;
  AppendGate gate({.max_bytes = 10, .max_waiting_bytes = 1000});
  CHECK(gate.Enter(crowd.New("first"), 1, 8) == Entry::kAdmitted);
  CHECK(gate.Enter(crowd.New("large"), 1, 9) == Entry::kWaits);
  CHECK(gate.Enter(crowd.New("little"), 2, 1) == Entry::kWaits);
  gate.Leave(8);
  CHECK(crowd.events == std::vector<std::string>{"large", "little"});
}

TEST_CASE(
    "append gate: the connection that has most waiting is turned away first") {
  Crowd crowd;
  AppendGate gate({.max_bytes = 10, .max_waiting_bytes = 30});
  CHECK(gate.Enter(crowd.New("first"), 1, 10) == Entry::kAdmitted);
  for (const char* const name : {"a1", "a2", "a3"}) {
    CHECK(gate.Enter(crowd.New(name), 1, 10) == Entry::kWaits);
  }
  CHECK(gate.Enter(crowd.New("a4"), 1, 10) == Entry::kTurnedAway);
  CHECK(crowd.events.empty());
  CHECK(gate.Enter(crowd.New("b1"), 2, 10) == Entry::kWaits);
  CHECK(crowd.events == std::vector<std::string>{"not a3"});
  for (int i = 0; i < 4; ++i) gate.Leave(10);
  CHECK(crowd.events == std::vector<std::string>{"not a3", "a1", "b1", "a2"});
}

TEST_CASE("append gate: who is turned away in vain is told all the same") {
  Crowd crowd;
  AppendGate gate({.max_bytes = 10, .max_waiting_bytes = 30});
  CHECK(gate.Enter(crowd.New("first"), 1, 10) == Entry::kAdmitted);
  for (const char* const name : {"a1", "a2", "a3"}) {
    CHECK(gate.Enter(crowd.New(name), 1, 10) == Entry::kWaits);
  }
  // Room for it would take two, and after one of them it has most itself.
  CHECK(gate.Enter(crowd.New("b"), 2, 25) == Entry::kTurnedAway);
  CHECK(crowd.events == std::vector<std::string>{"not a3"});
}

TEST_CASE("append gate: what is withdrawn waits no more") {
  Crowd crowd;
  AppendGate gate({.max_bytes = 10, .max_waiting_bytes = 20});
  CHECK(gate.Enter(crowd.New("first"), 1, 10) == Entry::kAdmitted);
  const auto a = crowd.New("a");
  const auto b = crowd.New("b");
  CHECK(gate.Enter(a, 1, 10) == Entry::kWaits);
  CHECK(gate.Enter(b, 2, 10) == Entry::kWaits);
  CHECK(gate.Withdraw(a.get(), 1));
  CHECK(!gate.Withdraw(a.get(), 1));
  CHECK(gate.Enter(crowd.New("c"), 3, 10) == Entry::kWaits);
  gate.Leave(10);
  CHECK(!gate.Withdraw(b.get(), 2));
  gate.Leave(10);
  CHECK(crowd.events == std::vector<std::string>{"b", "c"});
}

// As with a log that answers within Append.
TEST_CASE("append gate: who leaves at once does not make the stack grow") {
  class Brief final : public AppendGate::Waiter {
   public:
    Brief(AppendGate* gate, int* depth, int* deepest)
        : gate_(gate), depth_(depth), deepest_(deepest) {}
    void OnAdmitted() override {
      *deepest_ = std::max(*deepest_, ++*depth_);
      gate_->Leave(10);
      --*depth_;
    }
    void OnTurnedAway() override { *deepest_ = 1000; }

   private:
    AppendGate* const gate_;
    int* const depth_;
    int* const deepest_;
  };
  AppendGate gate({.max_bytes = 10, .max_waiting_bytes = 100'000});
  int depth = 0;
  int deepest = 0;
  const auto call = std::make_shared<Brief>(&gate, &depth, &deepest);
  CHECK(gate.Enter(call, 1, 10) == Entry::kAdmitted);
  for (int i = 0; i < 1000; ++i) {
    CHECK(gate.Enter(call, 1, 10) == Entry::kWaits);
  }
  gate.Leave(10);
  CHECK(deepest == 1);
  CHECK(gate.Enter(call, 1, 10) == Entry::kAdmitted);
}

}  // namespace
}  // namespace messenger::append_gate_test
