#include "peers/peer.h"

#include <stdexcept>

namespace messenger::bench {

std::unique_ptr<LivePeer> MakeLive(const std::string& system,
                                   const std::string& address) {
  if (system == "messenger") return MakeMessengerLive(address);
  if (system == "nats") return MakeNatsLive(address, {});
  if (system == "nats-asap") return MakeNatsLive(address, {.send_asap = true});
  if (system == "nats-threads") return MakeNatsLive(address, {.pool = false});
  throw std::runtime_error("no such live system: " + system);
}

std::unique_ptr<StorePeer> MakeStore(const std::string& system,
                                     const std::string& address) {
  if (system == "messenger") return MakeMessengerStore(address);
  if (system == "jetstream") return MakeNatsStore(address, /*in_memory=*/false);
  if (system == "jetstream-memory") {
    return MakeNatsStore(address, /*in_memory=*/true);
  }
  if (system == "redis") return MakeRedisStore(address);
  throw std::runtime_error("no such storing system: " + system);
}

}  // namespace messenger::bench
