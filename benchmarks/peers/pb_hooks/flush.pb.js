// PocketBase's one connection for writes waits for the disk at each commit.
onBootstrap((event) => {
    event.next()
    event.app.nonconcurrentDB().newQuery("PRAGMA synchronous = FULL").execute()
})
