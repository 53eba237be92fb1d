"""Images of projects, written without a daemon: `perdure build`.

Rooms, from the inside out: `errors`; `layers` (files to a layer), `blobs` (where they lie); `bases` and `debian` (what
an image stands on); `project` (what a project is), `wheels` (its packages), `bytecode`; `image` (all together), `sbom`;
`layouts` (files that other tools read), `registry` and `engines` (where an image can go), `making` (from a request to
its outputs); `dockerfile`; `starting` and `templates` (new projects).

Nothing here imports the engine or the server: a configuration comes in as plain data.
"""
