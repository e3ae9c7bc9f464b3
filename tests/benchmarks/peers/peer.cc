#include "peers/peer.h"

#include <stdexcept>

namespace messenger::bench {

std::unique_ptr<LivePeer> MakeLive(const RunOptions& run) {
  if (run.system == "messenger") return MakeMessengerLive(run);
  if (run.system == "nats") return MakeNatsLive(run.server, {});
  if (run.system == "nats-asap") {
    return MakeNatsLive(run.server, {.send_asap = true});
  }
  if (run.system == "nats-threads") {
    return MakeNatsLive(run.server, {.pool = false});
  }
  throw std::runtime_error("no such live system: " + run.system);
}

std::unique_ptr<StorePeer> MakeStore(const RunOptions& run) {
  if (run.system == "messenger") return MakeMessengerStore(run);
  if (run.system == "jetstream") {
    return MakeNatsStore(run.server, /*in_memory=*/false);
  }
  if (run.system == "jetstream-memory") {
    return MakeNatsStore(run.server, /*in_memory=*/true);
  }
  if (run.system == "redis") return MakeRedisStore(run.server.address);
  throw std::runtime_error("no such storing system: " + run.system);
}

}  // namespace messenger::bench
