// "Alive until OnDone".
#pragma once

#include <memory>
#include <utility>

namespace messenger::rpc {

// gRPC has a bare pointer to a reactor until OnDone. So a reactor that nobody
// else is sure to keep owns itself: from Make on, until it releases itself in
// OnDone. It may be shared meanwhile, and lives for as long as anybody has it.
template <typename Reactor>
class SelfOwned {
 public:
  template <typename... Args>
  static std::shared_ptr<Reactor> Make(Args&&... args) {
    auto reactor = std::make_shared<Reactor>(std::forward<Args>(args)...);
    reactor->self_ = reactor;
    return reactor;
  }

  SelfOwned(const SelfOwned&) = delete;
  SelfOwned& operator=(const SelfOwned&) = delete;

 protected:
  SelfOwned() = default;
  ~SelfOwned() = default;

  // To share it. From any thread, before Release.
  const std::shared_ptr<Reactor>& self() const { return self_; }
  // What it was owned by; without that, `*this` may be gone.
  std::shared_ptr<Reactor> Release() { return std::move(self_); }

 private:
  std::shared_ptr<Reactor> self_;
};

}  // namespace messenger::rpc
