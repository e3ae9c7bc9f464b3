// A bound for what all requests together may hold.
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace messenger::app {

// Thread safety: all members may be called from any thread.
class Budget {
 public:
  explicit Budget(std::size_t most) : most_(most) {}

  // A part of it, given back at the end. A budget must outlive its claims.
  class Claim {
   public:
    explicit Claim(Budget* budget) : budget_(budget) {}
    ~Claim() { budget_->taken_ -= amount_; }
    Claim(Claim&& other) noexcept
        : budget_(other.budget_), amount_(std::exchange(other.amount_, 0)) {}
    Claim& operator=(Claim&&) = delete;
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

    // Takes more; false if there is not so much.
    bool Add(std::size_t amount) {
      amount_ += amount;
      return budget_->taken_.fetch_add(amount) + amount <= budget_->most_;
    }

   private:
    Budget* budget_;
    std::size_t amount_ = 0;
  };

 private:
  const std::size_t most_;
  std::atomic<std::size_t> taken_ = 0;
};

}  // namespace messenger::app
