// Redis Streams, through hiredis.
#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <array>
#include <stdexcept>
#include <utility>

#include "peers/peer.h"
#include "support.h"

namespace messenger::bench {
namespace {

// XADD commands that are sent before their answers are read.
constexpr std::uint64_t kPipeline = 1000;

struct DestroyRedis {
  void operator()(redisContext* c) const { redisFree(c); }
  void operator()(redisReply* r) const { freeReplyObject(r); }
};
using Reply = std::unique_ptr<redisReply, DestroyRedis>;

class RedisStore final : public StorePeer {
 public:
  explicit RedisStore(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    redis_.reset(redisConnect(address.substr(0, colon).c_str(),
                              std::stoi(address.substr(colon + 1))));
    if (!redis_ || redis_->err != 0) {
      throw std::runtime_error(fmt::format("redis: {}", redis_->errstr));
    }
  }

  std::uint64_t SendFor(double seconds, std::string_view text) override {
    const Clock::time_point end = Clock::now() + ToDuration(seconds);
    std::uint64_t sent = 0;
    while (Clock::now() < end) {
      SendCount(kPipeline, text);
      sent += kPipeline;
    }
    return sent;
  }

  void SendCount(std::uint64_t count, std::string_view text) override {
    while (count > 0) {
      const std::uint64_t batch = std::min(count, kPipeline);
      for (std::uint64_t i = 0; i < batch; ++i) Add(text);
      for (std::uint64_t i = 0; i < batch; ++i) {
        static_cast<void>(Get(REDIS_REPLY_STRING));
      }
      count -= batch;
    }
  }

  void SendOne(std::string_view text) override { SendCount(1, text); }

  void Replay(std::uint64_t count, OnText on_text) override {
    std::string last = "0";
    while (count > 0) {
      constexpr std::array<const char*, 5> kCommand = {"XREAD", "COUNT", "1000",
                                                       "STREAMS", "bench"};
      std::array<const char*, 6> words{};
      std::copy(kCommand.begin(), kCommand.end(), words.begin());
      words.back() = last.c_str();
      redisAppendCommandArgv(redis_.get(), static_cast<int>(words.size()),
                             words.data(), nullptr);
      const Reply reply = Get(REDIS_REPLY_ARRAY);
      // [[stream, [[id, [field, value]], …]]]
      const redisReply* const entries = reply->element[0]->element[1];
      for (std::size_t i = 0; i < entries->elements; ++i) {
        const redisReply* const value =
            entries->element[i]->element[1]->element[1];
        on_text(0, {value->str, static_cast<std::size_t>(value->len)},
                i + 1 == entries->elements);
      }
      const redisReply* const id =
          entries->element[entries->elements - 1]->element[0];
      last.assign(id->str, static_cast<std::size_t>(id->len));
      count -= std::min<std::uint64_t>(count, entries->elements);
    }
  }

 private:
  void Add(std::string_view text) {
    const std::array<const char*, 5> words = {"XADD", "bench", "*", "t",
                                              text.data()};
    const std::array<std::size_t, 5> sizes = {4, 5, 1, 1, text.size()};
    redisAppendCommandArgv(redis_.get(), static_cast<int>(words.size()),
                           const_cast<const char**>(words.data()),
                           sizes.data());
  }

  Reply Get(int type) {
    void* reply = nullptr;
    if (redisGetReply(redis_.get(), &reply) != REDIS_OK) {
      throw std::runtime_error(fmt::format("redis: {}", redis_->errstr));
    }
    Reply owner(static_cast<redisReply*>(reply));
    if (owner->type != type) {
      throw std::runtime_error(fmt::format(
          "redis: {}",
          owner->type == REDIS_REPLY_ERROR ? owner->str : "unexpected reply"));
    }
    return owner;
  }

  std::unique_ptr<redisContext, DestroyRedis> redis_;
};

}  // namespace

std::unique_ptr<StorePeer> MakeRedisStore(const std::string& address) {
  return std::make_unique<RedisStore>(address);
}

}  // namespace messenger::bench
