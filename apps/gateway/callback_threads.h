// The threads on which all clients of the gateway call back, however many
// clients there are.
#pragma once

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <utility>

#include "messenger/executor.h"

namespace messenger::app {

class CallbackThreads final : public Executor {
 public:
  explicit CallbackThreads(std::size_t count) : threads_(count) {}

  void Post(absl::AnyInvocable<void()> task) override {
    boost::asio::post(threads_, std::move(task));
  }

  // Waits until all tasks have run. Not from one of them, and after the last
  // client has ended.
  void Join() { threads_.join(); }

 private:
  boost::asio::thread_pool threads_;
};

}  // namespace messenger::app
