#!/bin/sh
# Make the private environment of Python packages. The commands in it begin with the interpreter at the
# place where it will be.
#
# usage: debian/environment.sh FOLDER PLACE
set -eu

folder=$1 place=$2

install_packages() {
    /usr/bin/python3.11 -m pip --isolated --python "$folder/bin/python3" install --quiet --no-index --no-deps \
        --no-compile --no-warn-script-location --root-user-action=ignore --disable-pip-version-check "$@"
}

/usr/bin/python3.11 -m venv --without-pip "$folder"
install_packages --only-binary :all: --find-links debian/wheels --require-hashes --requirement debian/wheels.txt
sources=$(mktemp -d)
trap 'rm -rf "$sources"' EXIT
cp -r setup.cfg pyproject.toml README.md LICENSE browserid_sasl "$sources"
/usr/bin/python3.11 -m pip --isolated wheel --quiet --no-index --no-deps --no-build-isolation \
    --disable-pip-version-check --wheel-dir "$sources/wheel" "$sources"
install_packages "$sources"/wheel/*.whl

# The commands are ours; those of other packages are none of this one's.
find "$folder/bin" -mindepth 1 ! -name 'b*id*' -delete
ln -s /usr/bin/python3.11 "$folder/bin/python3"
sed -i "1s:^#!.*:#!$place/bin/python3:" "$folder"/bin/b*
rm -rf "${folder:?}/include" "${folder:?}/lib64" "${folder:?}/share"
printf '%s\n' 'home = /usr/bin' 'include-system-site-packages = false' >"$folder/pyvenv.cfg"
cp debian/extras.txt "$folder/extras.txt"
find "$folder" -name direct_url.json -delete
# What is not there any more, or was changed, would say where this was built.
find "$folder/lib" -name RECORD -exec sed -i '/^\.\.\/\|direct_url\.json/d' {} +
find "$folder/lib" -type f -exec chmod 644 {} +
